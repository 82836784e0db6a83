-- The verdict `redo "step"`: back to and including that step, newest first, then forward again from it. What is undone is in
-- the journal item by item, so that a crash goes on where it was.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

local state_word = { finished = "done", failed = "failed", started = "in doubt" }
local declared = { kind = true, name = true, t = true, file = true, line = true, index = true, actions = true, status = true, epoch = true, sets = true }

-- Forgets everything that the run knows of the items from `first` on: they are as the file declared them.
function M.forget(first)
  for _, item in ipairs(program.track) do
    if item.index >= first.index and item.kind ~= "monitor" then
      for key in pairs(item) do
        if not declared[key] then item[key] = nil end
      end
      item.status, item.epoch = "waiting", (item.epoch or 0) + 1 -- what it did before counts for nothing
    end
  end
end

-- How often `item` has ordered it, with this time. True where it may.
function M.may(past, item, verdict)
  local done = past.redone[item.name] or 0
  return done < (verdict.times or 1)
end

-- Undoes from the last item that began to `to`. Returns nil and the index to go on from, or an outcome.
function M.back(past, to, why, by)
  local first, last = program.names[to], 0
  for _, item in ipairs(program.track) do
    if state_word[item.status] or item.met then last = math.max(last, item.index) end
  end
  if not past.redoing then
    past.redone[by.name] = (past.redone[by.name] or 0) + 1
    journal("redo.started", by, { to = to, why = why, times = past.redone[by.name] })
  end
  past.redoing = { to = to, why = why, by = by.name }
  for index = last, first.index, -1 do
    local item = program.track[index]
    local outcome
    if item.kind == "checkpoint" and item.t.on == "rollback" and item.met then
      outcome = engine.checkpoint.perform(item)
    elseif item.kind == "step" and state_word[item.status] and not item.undone then
      outcome = engine.rollback.undo_one(item, state_word[item.status])
    end
    if outcome then
      if outcome.verdict ~= "interrupted" and outcome.verdict ~= "hold" then outcome.verdict = "person" end
      return outcome
    end
  end
  journal("redo.finished", by, { to = to, why = ("goes on from %s"):format(label(first.kind, to)) })
  M.forget(first)
  past.redoing = nil
  return nil, first.index
end

return M

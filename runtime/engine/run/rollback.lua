-- The way back: undo of every step that started, newest first; checkpoints with on = "rollback" are met at their place.
-- Rules 2, 7 and 8 of docs/playbook.md. Never goes forward again: an interrupted rollback resumes backwards.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label, is, classes = common.journal, program.label, program.is, program.classes
local M = {}

-- The undo of an item for a way: a list of functions, or nil and why it is kept.
local function undo_of(item, way)
  local undo = item.t.undo
  if undo and is(undo, classes.Way) then return nil, undo.keep end
  if type(undo) == "table" then
    local one = way and undo[way]
    if not one then -- the playbook's first way is the default
      local ways = (program.header().t.rollback or {}).ways or {}
      one = undo[type(ways) == "table" and ways[1] or ways] or undo[host.sorted_keys(undo)[1]]
    end
    return { one }
  end
  if undo then return { undo } end
  local list = {}
  for _, last in ipairs { false, true } do
    for i = #(item.actions or {}), 1, -1 do
      local action = item.actions[i]
      if action.undo and not is(action.undo, classes.Way) and last == (action.undo_last == true) then list[#list + 1] = action.undo end
    end
  end
  if #list > 0 then return list end
  return nil, item.t.loses and "its effect cannot be undone by itself" or "changed nothing"
end

-- The names of the ways back that the playbook knows, as a set.
local function ways()
  local known = {}
  local declared = (program.header().t.rollback or {}).ways or {}
  for _, name in ipairs(type(declared) == "table" and declared or { declared }) do known[name] = true end
  for _, item in ipairs(program.track) do
    if type(item.t.undo) == "table" and not is(item.t.undo, classes.Way) then
      for name in pairs(item.t.undo) do known[name] = true end
    end
  end
  return known
end

function M.knows_way(way) return ways()[way] == true end

function M.unknown_way(way)
  local known = host.sorted_keys(ways())
  return ("the playbook has no way back '%s'%s"):format(way, #known == 0 and ", only one without a name" or
    host.did_you_mean(way, ways()) .. (": it has " .. table.concat(known, ", ")))
end

function M.body(_, functions, ctx)
  for _, undo in ipairs(functions) do undo(ctx) end
end

-- Runs the undo of one item with its retries. Returns nil, or an outcome where it failed.
function M.undo_one(item, state, way)
  local outcome = engine.substep_undo.all(item, state)
  if outcome then return outcome end
  local functions = undo_of(item, way)
  if not functions then
    if item.subs then
      item.epoch, item.undone = (item.epoch or 0) + 1, true
      journal("undo.finished", item, { elapsed_s = 0 })
    end
    return nil
  end
  local started, attempt = host.monotonic(), 0
  while true do
    attempt = attempt + 1
    journal("undo.started", item, { state = state, attempt = attempt })
    host.enter_step(item.name, label(item.kind, item.name))
    host.allow "writes"
    local ok, problem = common.limited(common.seconds(item.t.timeout), function()
      local ctx = engine.substep.undo_context(common.context(item, { state = state, way = way, result = item.result }), item)
      M.body(item, functions, ctx)
    end)
    if ok then
      item.epoch, item.sleeps, item.undone = (item.epoch or 0) + 1, nil, true
      journal("undo.finished", item, { elapsed_s = host.monotonic() - started })
      return nil
    end
    if host.interrupted() then return { verdict = "interrupted", why = "interrupted during the rollback", item = item } end
    local delay = common.delay_after(item.t.undo_retry, attempt, problem, started)
    if not delay then
      journal("undo.failed", item, { error = host.error_map(problem) })
      return { verdict = "person", why = ("undo of %s failed: %s"):format(label(item.kind, item.name), problem.message), item = item, problem = problem }
    end
    host.sleep(delay)
  end
end

local state_word = { finished = "done", failed = "failed", started = "in doubt" }

-- Rows that going back from here would lose: total, or nil where a step cannot say. Returns total, list.
function M.losses(track)
  local total, list = 0, {}
  for _, item in ipairs(track) do
    if item.t.loses and state_word[item.status] then
      common.allow_reads(item)
      local ok, rows = host.try(item.t.loses, common.context(item, { result = item.result }))
      if type(rows) == "table" then rows = rows.rows end
      if not ok or type(rows) ~= "number" or rows ~= rows then return nil, { { step = item.name, rows = "unknown" } } end
      total = total + rows
      list[#list + 1] = { step = item.name, rows = rows }
    end
  end
  return total, list
end

-- Goes back over `track`. `undone` holds what an earlier, interrupted rollback has done. Returns the final outcome.
function M.back(track, why, way, undone, began)
  local within = common.seconds((program.header().t.rollback or {}).within)
  local steps, kept, order = {}, {}, {}
  for i = #track, 1, -1 do
    local item = track[i]
    local started = state_word[item.status] ~= nil and (item.kind == "step")
    if item.kind == "checkpoint" and item.t.on == "rollback" and item.met then
      order[#order + 1] = { item = item, check = true }
      steps[#steps + 1] = item.name
    elseif started then
      local functions, keep = undo_of(item, way)
      if functions or engine.substep_undo.needed(item) then
        order[#order + 1] = { item = item, undo = true }
        steps[#steps + 1] = item.name
      elseif keep ~= "changed nothing" then
        order[#order + 1] = { item = item, keep = keep }
        kept[#kept + 1] = { step = item.name, why = keep }
      end
    end
  end
  local started = host.monotonic()
  if not began then journal("rollback.started", nil, { why = why, way = way, steps = steps, kept = kept, within_s = within }) end
  for _, entry in ipairs(order) do
    local item = entry.item
    local outcome
    if undone[item.name] or item.undone then
      outcome = nil
    elseif entry.keep then
      journal("undo.kept", item, { why = entry.keep })
    elseif entry.check then
      outcome = engine.checkpoint.perform(item)
      if outcome and outcome.verdict == "rollback" then outcome.verdict = "person" end
    else
      outcome = M.undo_one(item, state_word[item.status], way)
    end
    if outcome then return outcome end
  end
  local elapsed = host.monotonic() - started
  local met
  if within then met = elapsed <= within end
  journal("rollback.finished", nil, { elapsed_s = elapsed, within_s = within, met = met })
  return { verdict = "rolled_back", why = why, rollback_s = elapsed }
end

return M

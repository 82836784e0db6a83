-- The way back of sub-steps: newest first, those in branches of `parallel` in reverse declared order; then the step's own undo.
-- After a restart the functions are not there any more: `run` is replayed up to where it came, looking only, to find them.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

local state_word = { finished = "done", failed = "failed", retried = "failed", started = "in doubt" }

-- Whether the way back of an item has sub-steps in it.
function M.needed(item)
  for _, sub in ipairs(item.subs and item.subs.list or {}) do
    if state_word[sub.status] and (sub.way_back or sub.spec and type(sub.spec.undo) == "function") then return true end
  end
  return false
end

-- Undoes one sub-step with the step's undo_retry. Returns nil, or an outcome where it failed.
function M.one(sub, state)
  local item = sub.item
  local undo = sub.spec.undo
  if type(undo) ~= "function" then
    if undo then journal("substep.kept", item, { name = sub.name, why = undo.keep }) end
    return nil
  end
  local started, attempt = host.monotonic(), 0
  while true do
    attempt = attempt + 1
    journal("substep.undo_started", item, { name = sub.name, state = state, attempt = attempt })
    host.enter_step(item.name, engine.substep.label_of(sub))
    host.allow "writes"
    local ok, problem = common.limited(common.seconds(sub.spec.timeout or item.t.timeout), undo,
      engine.substep.undo_context(engine.substep.context(sub, { state = state, result = sub.result }), item, sub))
    if ok then
      sub.status, sub.epoch = "undone", sub.epoch + 1
      journal("substep.undone", item, { name = sub.name, elapsed_s = host.monotonic() - started })
      return nil
    end
    if host.interrupted() then return { verdict = "interrupted", why = "interrupted during the rollback", item = item } end
    local delay = common.delay_after(item.t.undo_retry, attempt, problem, started)
    if not delay then
      journal("undo.failed", item, { sub = sub.name, error = host.error_map(problem) })
      return { verdict = "person", why = ("undo of %s failed: %s"):format(engine.substep.label_of(sub), problem.message), item = item, problem = problem }
    end
    host.sleep(delay)
  end
end

-- Runs `run` again, looking only: finished sub-steps return their results, the first that is not finished ends it. What counts
-- is that every started sub-step says its undo again.
local function replay(item)
  local ctx = engine.substep.begin(item)
  item.replaying = true
  host.enter_step(item.name, label(item.kind, item.name))
  host.allow("reads", ("is refused: %s is only replayed, for the undo of its sub-steps"):format(label(item.kind, item.name)))
  local ok, problem = common.limited(common.seconds(item.t.timeout), engine.step.body, item, ctx)
  item.replaying = nil
  engine.substep.set_scope(nil)
  return not ok and problem.kind ~= "replay" and problem or nil
end

-- Undoes what sub-steps of the item have started. Returns nil, or an outcome.
function M.all(item, state)
  if not M.needed(item) then return nil end
  local problem
  for _, sub in ipairs(item.subs.list) do
    if state_word[sub.status] and not sub.spec then
      problem = replay(item)
      break
    end
  end
  local order = {}
  for _, sub in ipairs(item.subs.list) do
    if state_word[sub.status] then
      if sub.spec then order[#order + 1] = sub
      elseif sub.way_back then
        return { verdict = "person", item = item, problem = problem, why = ("the undo of %s is not known: run, replayed, did not come to it%s"):format(
          engine.substep.label_of(sub), problem and " (" .. problem.message .. ")" or "") }
      end
    end
  end
  table.sort(order, function(a, b) return a.path > b.path end)
  for _, sub in ipairs(order) do
    local outcome = M.one(sub, state_word[sub.status] or state)
    if outcome then return outcome end
  end
end

return M

-- Steps in doubt: it began, and nobody knows whether its effect is there. Rule 4 of docs/playbook.md; never a silent rerun.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

-- Rule 4. Returns "finished", "rerun", or an outcome.
function M.settle(item, why)
  local t = item.t
  if engine.substep.replays(item) then -- run is replayed; its sub-steps settle themselves
    item.replays_next = true
    journal("step.in_doubt", item, { state = "replayed", why = why })
    return "rerun"
  end
  local state, result = "unknown", nil
  local observe = t.observe or (#item.actions == 1 and item.actions[1].observe) or nil
  if observe then
    common.allow_reads(item)
    local ok, answer, more = host.try(observe, common.context(item))
    if ok and (answer == "done" or answer == "absent" or answer == "partial") then state, result = answer, more
    elseif not ok then why = why .. "; observe failed: " .. answer.message end
  elseif t.idempotent or not common.has_way_back(item) then
    state = "absent" -- nothing that a second run could do twice
  end
  journal("step.in_doubt", item, { state = state, why = why })
  if state == "done" then
    local ok, stored = host.try(host.store, result)
    if t.verify and ok then
      local problem
      ok, problem = host.try(function() engine.step.check_verified(t.verify(common.context(item, { result = stored }))) end)
      if not ok then return { verdict = "rollback", why = label(item.kind, item.name) .. ": " .. problem.message, item = item } end
    end
    engine.step.finish(item, stored, host.monotonic())
    return "finished"
  elseif state == "absent" then
    return "rerun"
  elseif state == "partial" then
    if t.resumable then
      item.partial = true
      return "rerun"
    end
    local outcome = engine.rollback.undo_one(item, "in doubt")
    return outcome or "rerun"
  end
  return { verdict = "person", why = label(item.kind, item.name) .. " is in doubt: it started and nobody knows whether it is done", item = item }
end

return M

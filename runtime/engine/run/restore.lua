-- History into items: what the journal says was done, failed, undone, decided. The run goes on from there.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local track = program.track
local M = {}

-- What the journal says about each item. Returns {undone, rolling_back, why, way, touched, ended}.
-- `item.failed_for` is a failure, and `item.refused` a person's no, that nothing followed yet: the run ended right after it.
function M.restore(history)
  local past = { undone = {}, redone = {}, touched = false }
  for _, event in ipairs(history) do
    local item, data = program.names[event.step], event.data
    local kind = event.event
    engine.agreement.restore(kind, item, data)
    if item and kind:sub(1, 8) == "substep." and data.name then engine.substep.restore(item, kind, data)
      past.touched = past.touched or common.has_way_back(item)
    elseif item then
      if kind == "sleep.started" then
        item.sleeps = item.sleeps or {}
        item.sleeps[data.key] = host.parse_time(data.till)
      elseif kind == "attempt.failed" and item.kind == "step" then -- it ended, and its next attempt was due
        item.status, item.retry_due, item.sleeps = "failed", true, nil
      elseif kind == "step.started" then
        item.status, item.attempt, item.elapsed, item.failed_for, item.passed_over, item.retry_due = "started", data.attempt, nil, nil, nil, nil
        item.outside = nil
        item.first_at = item.first_at or event.at
        engine.substep.fresh(item)
        past.undone[event.step], item.undone = nil, nil -- it ran again after its undo (in doubt, partial)
        past.touched = past.touched or common.has_way_back(item)
      elseif kind == "step.captured" then item.saved = data.saved
      elseif kind == "step.finished" then item.status, item.result, item.elapsed = "finished", data.result, data.elapsed_s
      elseif kind == "step.skipped" then item.status = "skipped"
      elseif kind == "step.in_doubt" then
        item.replays_next, item.outside = data.state == "replayed", data.outside
        if data.outside then item.parts = "ctx.step" end -- from here on it is seen before it happens
      elseif kind == "step.failed" then item.status, item.failed_for = "failed", (data.error or {}).message or "no reason was recorded"
      elseif kind == "repair.started" then item.repaired = true
      elseif kind == "checkpoint.judged" then item.status, item.result, item.unpassed = data.passed and "finished" or "waiting", data.result, not data.passed
      elseif kind == "decision.answered" and (item.failed_for or item.unpassed) then
        item.passed_over, item.ordered = data.answer == "go_on", data.answer == "rollback"
      elseif kind == "gate.answered" and item.kind == "gate" then item.refused = data.answer == "reject" and data.by or nil
      elseif kind == "undo.finished" then
        item.undone, item.sleeps, item.epoch = true, nil, (item.epoch or 0) + 1
        if not past.redoing then past.undone[event.step] = true end
      elseif kind == "item.passed_over" then item.passed_over = true
      elseif kind == "redo.started" then
        past.redoing = { to = data.to, why = data.why, by = event.step }
        past.redone[event.step] = data.times
      elseif kind == "redo.finished" then
        past.redoing = nil
        engine.redo.forget(program.names[data.to])
      elseif kind == "step.retried" then
        engine.step.again(item)
        engine.substep.ordered_again(item)
      elseif item.kind == "monitor" then engine.monitor.restore(item, kind, data)
      end
    end
    if kind == "rollback.started" then past.rolling_back, past.why, past.way, past.ended = true, data.why, data.way, nil
    elseif kind == "rollback.finished" then past.rolled_back = true
    elseif kind == "run.finished" then past.ended = data
    elseif kind == "run.held" then
      engine.monitor.held()
      for _, held in ipairs(track) do held.failed_for = nil end -- whoever resumes wants it tried again
    end
  end
  return past
end

return M

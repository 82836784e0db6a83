-- A checkpoint of the run: looks, judges, and repairs once where its table says so.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

local function judged(item, passed, result, problem, verdict, started)
  local why = verdict and (verdict.why or verdict.verdict)
  journal("checkpoint.judged", item, { passed = passed, elapsed_s = host.monotonic() - started, result = result, detail = common.detail(item),
    verdict = verdict and verdict.verdict, why = why, error = problem and host.error_map(problem),
    where = not passed and host.place(item.t.pass) or nil })
end

function M.perform(item)
  local t, started = item.t, host.monotonic()
  local waits = t.on == nil and engine.time.wait(item)
  if waits then return waits end
  local repaired = item.repaired -- also by an earlier process: a repair that was interrupted is not begun again
  item.attempt = 0
  while true do
    item.attempt = item.attempt + 1
    common.allow_reads(item)
    journal("step.started", item, { kind = "checkpoint", attempt = item.attempt, owner = t.owner })
    local ok, passed, result, problem = common.limited(common.seconds(t.timeout), engine.judge.look, t.run, t.pass, common.context(item))
    if not ok then passed, result, problem = false, nil, passed end
    item.result, item.elapsed = result, host.monotonic() - started
    if passed then
      item.status = "finished"
      judged(item, true, result, nil, nil, started)
      return common.announce(item)
    end
    if host.interrupted() then return { verdict = "interrupted", why = "interrupted", item = item } end
    if problem then common.with_hint(item, problem) end
    local delay = common.delay_after(t.retry, item.attempt, problem and problem.kind or "checkpoint", started)
    if delay then
      journal("attempt.failed", item, { attempt = item.attempt, of = t.retry.attempts, retry_in_s = delay,
        error = problem and host.error_map(problem) or { kind = "checkpoint", message = "did not pass" } })
      host.sleep(delay)
    else
      local verdict = engine.judge.decide(t.fail, result, problem)
      if verdict.verdict == "repair" and repaired then
        verdict = engine.judge.severest { otherwise = program.words.rollback(verdict.why .. " did not help") }
      end
      if verdict.verdict ~= "repair" then
        item.status = "failed"
        judged(item, false, result, problem, verdict, started)
        return { verdict = verdict.verdict, why = ("%s did not pass%s"):format(label("checkpoint", item.name), verdict.why and ": " .. verdict.why or ""),
          way = verdict.way, roles = verdict.roles, step = verdict.step, times = verdict.times, channels = verdict.channels, item = item, problem = problem }
      end
      repaired = true
      judged(item, false, result, problem, verdict, started)
      journal("repair.started", item, { why = verdict.why })
      host.allow "writes"
      local fine, err = host.try(verdict.fn, result)
      if not fine then return { verdict = "rollback", why = ("%s: repair failed: %s"):format(label("checkpoint", item.name), err.message), item = item, problem = err } end
      journal("repair.finished", item)
    end
  end
end

return M

-- One step of the run: recorded in the journal before and after its effect, tried again as it says.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

function M.body(item, ctx)
  local t = item.t
  if t.manual then
    local answer = engine.people.manual(item)
    if answer ~= "approve" then host.raise("declined", ("%s was not done (%s)"):format(t.manual, answer)) end
    return nil
  end
  for _, action in ipairs(item.actions) do action.run(ctx) end
  if t.run then return t.run(ctx) end
end

-- Rule: nothing returned passes (expect() inside raises), anything returned must be true.
function M.check_verified(...)
  if select("#", ...) > 0 and (...) ~= true then host.raise("verify", "verify did not return true, but " .. host.type_word((...))) end
end

local function attempt(item, ctx)
  engine.substep.allow(item)
  local ok, result = common.limited(common.seconds(item.t.timeout), engine.watch.body, item, ctx)
  item.closed = true
  engine.substep.set_scope(nil)
  item.stop = item.stop or engine.substep.outside_effect(item)
  if not ok then return false, result end
  if item.stop then return false, { kind = "in_doubt", message = item.stop.why } end -- the step's own pcall took the error
  local stored
  ok, stored = host.try(host.store, result)
  if not ok then return false, stored end
  if item.t.verify then
    common.allow_reads(item)
    ctx.result = stored
    local problem
    ok, problem = host.try(function() M.check_verified(item.t.verify(ctx)) end)
    if not ok then return false, problem end
  end
  return true, stored
end

function M.finish(item, result, started)
  item.result, item.status, item.elapsed = result, "finished", host.monotonic() - started
  journal("step.finished", item, { kind = item.kind, elapsed_s = item.elapsed, result = result, detail = common.detail(item) })
  return common.announce(item)
end

-- What a failed step leads to.
local function failed(item, problem, started)
  common.with_hint(item, problem)
  item.status = "failed"
  journal("step.failed", item, { kind = item.kind, error = host.error_map(problem), attempts = item.attempt, elapsed_s = host.monotonic() - started })
  if item.t.failure == "continue" then return nil end
  return { verdict = "rollback", why = label(item.kind, item.name) .. " failed: " .. problem.message, item = item, problem = problem }
end

-- A person ordered it once more, with all its attempts. What it left stays its own until then: a rollback undoes it.
function M.again(item)
  local began = item.kind == "step" and (item.status == "started" or item.status == "failed")
  item.status, item.retry_due = began and "failed" or "waiting", began or nil
  item.attempt, item.passed_over, item.failed_for, item.refused, item.ordered = nil, nil, nil, nil, nil
end

function M.perform(item)
  local t = item.t
  local started = host.monotonic()
  local waits = engine.time.wait(item)
  if waits then return waits end
  if t.only_if ~= nil and not item.attempt and not item.retry_due then
    common.allow_reads(item)
    local wanted = t.only_if
    if type(wanted) == "function" then
      local ok, value = host.try(wanted)
      if not ok then return failed(item, value, started) end
      wanted = value
    end
    if wanted ~= true then
      item.status = "skipped"
      journal("step.skipped", item, { reason = "only_if is not true" })
      return
    end
  end
  if item.status == "started" then -- from the journal: it began and never ended
    local outcome = engine.doubt.settle(item, "the run ended while it was running")
    if outcome == "finished" then return end
    if outcome ~= "rerun" then return outcome end
  end
  if t.capture and item.saved == nil then
    common.allow_reads(item)
    local ok, saved = host.try(function() return host.store(t.capture(common.context(item))) end)
    if not ok then return failed(item, saved, started) end
    item.saved = saved
    journal("step.captured", item, { saved = saved })
  end
  item.attempt = item.attempt or 0
  -- the limit on all attempts counts from the first, whichever process made it
  local first = item.first_at and host.monotonic() - math.max(0, host.now() - item.first_at) or host.monotonic()
  while true do
    item.attempt, item.status, item.started, item.retry_due, item.undone = item.attempt + 1, "started", host.now(), nil, nil
    journal("step.started", item, { kind = item.kind, attempt = item.attempt, owner = t.owner })
    local ok, result = attempt(item, engine.substep.begin(item))
    if ok then return M.finish(item, result, started) end
    if host.interrupted() then return { verdict = "interrupted", why = "interrupted", item = item, problem = result } end
    if item.stop then return item.stop end
    common.with_hint(item, engine.live.statement_error(item, result))
    local delay = common.delay_after(t.retry, item.attempt, result, first)
    if result.in_doubt then
      local outcome = engine.doubt.settle(item, result.message)
      if outcome == "finished" then return end
      if outcome ~= "rerun" then return outcome end
    end
    if not delay then return failed(item, result, started) end
    if t.retry.undo_first then
      local outcome = engine.rollback.undo_one(item, "failed")
      if outcome then return outcome end
    end
    item.status, item.retry_due, item.sleeps = "failed", true, nil
    journal("attempt.failed", item, { attempt = item.attempt, of = t.retry.attempts, error = host.error_map(result), retry_in_s = delay })
    host.sleep(delay)
  end
end

return M

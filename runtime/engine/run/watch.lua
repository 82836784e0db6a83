-- What watches a step while it works: `stall` (no progress for that long ends the attempt), `overdue` (says so, or asks a
-- person, while the work goes on), and ctx.progress.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

-- ctx.progress(done, total | text): for the views, and a sign of life for `stall`. Without arguments only that.
function M.progress_of(item)
  return function(done, total, text)
    item.alive_at = host.monotonic()
    if done == nil then return end
    if type(done) == "string" then done, total, text = 0, 0, done end
    if type(total) == "string" then total, text = 0, total end
    if type(done) ~= "number" or total ~= nil and type(total) ~= "number" then
      host.raise("argument", ("ctx.progress: a number done, then a number in all or a text expected, got %s"):format(host.type_word(type(done) ~= "number" and done or total)))
    end
    host.progress(done, total or 0, text or "")
  end
end

-- When the step last got on: what it said itself, or what its native work reported.
local function last_sign(item, began)
  return math.max(began, item.alive_at or 0, host.progressed(item.name) or 0)
end

local function watch_stall(item, limit, work, state)
  local began = host.monotonic()
  while true do
    local quiet = host.monotonic() - last_sign(item, began)
    if quiet >= limit then
      state.stalled = true
      host.cancel(work, "cancelled: no progress", true)
      return
    end
    host.sleep(limit - quiet)
  end
end

local function overdue_of(item)
  local overdue = item.t.overdue
  if overdue == nil then return nil end
  if type(overdue) == "table" then return common.seconds(overdue.after), overdue.verdict end
  return common.seconds(overdue)
end

local function watch_overdue(item, after, verdict, work, state)
  host.sleep(after)
  journal("overdue.reached", item, { after_s = after, asks = verdict and verdict.roles or nil })
  if not verdict then return end
  state.asking = true
  local why = ("%s has been running for %s and is not done; it goes on meanwhile"):format(label(item.kind, item.name), host.duration_text(after))
  local answer = engine.people.decide(item, why, verdict.roles)
  state.asking = nil
  if answer == "go_on" then return end
  item.stop = { verdict = answer, why = ("%s was overdue"):format(label(item.kind, item.name)), item = item }
  host.cancel(work, "cancelled: it was overdue")
end

-- Runs the body of a step, watched where the step says so. In the time limit of the attempt.
function M.body(item, ctx)
  local stall = common.seconds(item.t.stall)
  local after, verdict = overdue_of(item)
  if not stall and not after then return engine.step.body(item, ctx) end
  item.alive_at = nil
  local here, state = engine.substep.scope(), {}
  local work = host.spawn(function()
    engine.substep.set_scope(here)
    return host.try(engine.step.body, item, ctx)
  end)
  local watchers = {}
  if stall then watchers[1] = host.spawn(function() return host.try(watch_stall, item, stall, work, state) end) end
  if after then watchers[#watchers + 1] = host.spawn(function() return host.try(watch_overdue, item, after, verdict, work, state) end) end
  local joined, whole, ok, result = host.try(host.join, work)
  local stopped = not joined and whole or nil
  if stopped then
    host.cancel(work, "cancelled: " .. label(item.kind, item.name) .. " was stopped", stopped.kind == "timeout")
    whole, ok, result = host.join(work, true)
  end
  for _, watcher in ipairs(watchers) do
    if not host.ended(watcher) then host.cancel(watcher, "the step has ended") end
    host.join(watcher, true)
  end
  if state.asking then journal("decision.answered", item, { answer = "withdrawn", via = "the step has ended" }) end
  if not whole then ok, result = false, ok end -- the watchdog, or no memory
  if ok then return result end -- it was done before the end of its time was noticed
  if stopped then
    stopped.in_doubt = result.in_doubt or stopped.in_doubt
    result = stopped
  end
  if state.stalled and not stopped then
    result.kind, result.message = "stall", ("no progress for %s: %s"):format(host.duration_text(stall), result.message)
  end
  error(result, 0)
end

return M

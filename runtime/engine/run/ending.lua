-- How a run ends for this process: finished or held, with what works beside it stopped first.
local engine = ...
local host, program, common, live = engine.host, engine.program, engine.common, engine.live
local journal = common.journal
local M = {}

-- Steps declared `beside` run in tasks of their own, and are joined before the step they name.
local beside = {}
function M.beside(item, task) beside[#beside + 1] = { item = item, task = task } end

-- Joins those that end before `name`; all without one. Returns the first outcome.
function M.join(name)
  for i = #beside, 1, -1 do
    local entry = beside[i]
    if not name or entry.item.t.beside == name then
      local ok, outcome = host.join(entry.task) -- where this is cut short it is still to be stopped
      table.remove(beside, i)
      if not ok then return { verdict = "rollback", why = tostring(outcome), item = entry.item } end
      if outcome then return outcome end
      engine.monitor.after(entry.item)
    end
  end
end

-- Cancels them, or those from the item `index` on. Nobody knows how far they came: they are in doubt, not failed.
function M.stop_beside(why, index)
  local list, kept = {}, {}
  for _, entry in ipairs(beside) do
    local group = entry.item.index >= (index or 0) and list or kept
    group[#group + 1] = entry
  end
  beside = kept
  if #list == 0 then return end
  live.stopping(true)
  for _, entry in ipairs(list) do host.cancel(entry.task, why or "the run stops") end
  for _, entry in ipairs(list) do host.join(entry.task) end
  live.stopping(false)
end

local clock = {}
function M.start() clock.started = host.monotonic() end

-- The window opens and closes with the steps that the header names.
function M.done(item)
  local window = program.header().t.window
  if window and item.name == window.from then clock.from = host.monotonic() end
  if window and item.name == window.to then clock.to = host.monotonic() end
end

local function window_seconds() return clock.from and (clock.to or host.monotonic()) - clock.from or nil end

-- Both return exit and outcome word.
function M.finish(outcome, exit, more)
  live.stop()
  local data = { outcome = outcome, exit = exit, elapsed_s = host.monotonic() - clock.started, window_s = window_seconds() }
  for key, value in pairs(more or {}) do data[key] = value end
  journal("run.finished", nil, data)
  return exit, outcome
end

function M.held(why, exit, outcome)
  host.clear_cancel()
  M.stop_beside()
  engine.monitor.leave()
  live.stop()
  local left
  why, left = live.with_left(why)
  journal("run.held", nil, { why = why, left_on = left, resume = "runbook resume " .. host.run_id(), outcome = outcome or "held", exit = exit or 3,
    elapsed_s = host.monotonic() - clock.started, window_s = window_seconds() })
  return exit or 3, outcome or "held"
end

return M

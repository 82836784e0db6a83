-- What accompanies a run in time: T, the window's clock, and the moments at which messages, goals and notices are due. Hooks:
-- begin (after the journal was read), saw (before each event is journaled). Decides nothing about the run.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local opened, closed -- monotonic
function M.window_opened() return opened end
function M.window_closed() return closed end

-- T: the header's `start` or --start, fixed in the journal by the first process; without one the beginning of the run.
local function fix_start(history)
  for _, event in ipairs(history) do
    if event.event == "start.set" then M.T = host.parse_time(event.data.at) end
  end
  if M.T then return end
  local text = host.given().start
  if text == "" then text = program.header().t.start end
  if not text then
    M.T = history[1] and history[1].at or host.now()
    return
  end
  M.T = program.dates.instant((program.dates.parse(text)), 0, host.now())
  local early = M.T - host.now() > 60 and not host.given().ahead
  host.append("start.set", "", { at = host.iso(M.T), text = text, why = ("%s (%s)%s"):format(host.iso(M.T), text,
    early and "; T is no wait, the run begins now (--ahead creates it and leaves it until then)" or "") })
end

local function follow_window(event, item)
  local window = program.header().t.window
  if not window or not item then return end
  if event == "step.started" and item.name == window.from then
    opened = opened or host.monotonic()
    engine.window.watch()
  end
  if (event == "step.finished" or event == "checkpoint.judged") and item.name == window.to then
    closed = host.monotonic()
    engine.window.stop()
  end
end

function M.begin(history, mode)
  fix_start(history)
  engine.ahead.restore(history)
  engine.ahead.begin(mode)
  local before = host.now() - host.monotonic()
  for _, event in ipairs(history) do
    local window = program.header().t.window
    if window and event.step == window.from and event.event == "step.started" then opened = opened or event.at - before end
    if window and event.step == window.to and event.event == "step.finished" then closed = event.at - before end
  end
  engine.outbox.restore(history)
  engine.says.restore(history)
  engine.window.restore(history)
  if opened and not closed then engine.window.watch() end
  engine.notices.restore(history)
  engine.notices.begin()
  if engine.ahead.leaving() then return end
  engine.outbox.begin(mode)
  engine.updates.begin(history)
  engine.says.catch_up()
  if #history == 0 then engine.followup.say_missed() end
end

-- The run is not continued: only its notices are posted (`runbook due`). Returns its exit code and outcome as they were.
function M.only_notices(history)
  fix_start(history)
  engine.outbox.restore(history)
  engine.notices.restore(history)
  engine.ahead.restore(history)
  engine.notices.post_due()
  engine.ahead.post_due()
  engine.outbox.drain(true)
  local exit, outcome = 3, "held"
  for _, event in ipairs(history) do
    if event.event == "run.held" or event.event == "run.finished" then exit, outcome = event.data.exit, event.data.outcome end
  end
  return exit, outcome
end

-- `not_before`: waits until then, and not again after a resume that comes later. With --detach the run is held until then, and
-- `runbook due` goes on. Returns nil, or the outcome.
local held_until
function M.hold_until(at) held_until = at end
function M.wait(item)
  if item.status ~= "waiting" then return nil end
  local at = item.not_before and program.dates.instant(item.not_before, M.T, M.T)
  if engine.ahead.waits_for_start() then at = math.max(at or M.T, M.T) end
  if not at then return nil end
  if at <= host.now() then return nil end
  local why = ("%s waits until %s UTC"):format(program.label(item.kind, item.name), host.iso(at):sub(1, 19):gsub("T", " "))
  host.append("wait.started", item.name, { till = host.iso(at), why = why })
  if host.given().detach then
    if engine.monitor.postpone(item) then
      while engine.monitor.watching() and at > host.now() do host.sleep(0.1) end
      if at <= host.now() then return nil end
    end
    held_until = at
    return { verdict = "hold", why = why, item = item }
  end
  while at > host.now() do host.poll(30, at - host.now()) end -- the wall clock may be set meanwhile
end

-- Told of every event that an item or the run journals, before it is.
function M.saw(event, item, data)
  follow_window(event, item)
  engine.updates.saw(event, item, data)
  if event == "rollback.started" or event == "run.finished" or event == "run.held" then engine.window.stop() end
  if event == "run.finished" then
    if opened and not data.window_s then data.window_s = (closed or host.monotonic()) - opened end -- it opened in an earlier process
    engine.notices.stop()
    engine.goals.judge_all(data.outcome, data)
    if data.outcome == "succeeded" then engine.followup.schedule() end
    if data.outcome == "rolled_back" then engine.followup.open_tasks() end
    engine.updates.finish(data.outcome, data.why)
    engine.outbox.finish(data.outcome)
    engine.outbox.drain()
  elseif event == "run.held" then
    if held_until then data.till = host.iso(held_until) end
    engine.notices.stop()
    engine.updates.finish(data.outcome, data.why)
    engine.outbox.drain(true)
  end
end

return M

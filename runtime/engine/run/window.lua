-- `window.overdue`: the window is open for longer than its target. A role is asked while the work goes on; what it says reaches the
-- run as an outcome from outside. Once a run, also over a resume; muted on the way back.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local asked, task = false, nil

function M.restore(history)
  for _, event in ipairs(history) do
    if event.event == "window.overdue" then asked = true end
  end
end

local function ask_when_late(from, verdict)
  local window = program.header().t.window
  local target = host.parse_duration(window.target)
  host.sleep(math.max(0, engine.time.window_opened() + target - host.monotonic()))
  if engine.live.is_rolling() then return end
  asked = true
  local max, back = host.parse_duration(window.max or ""), host.parse_duration((program.header().t.rollback or {}).within or "") or 0
  local latest = max and (" The latest moment for a rollback is %s UTC."):format(host.iso(host.now() + max - back - target):sub(12, 19)) or ""
  local why = ("the window is open for longer than its target of %s; the work goes on meanwhile.%s"):format(window.target, latest)
  host.append("window.overdue", "", { target_s = target, roles = verdict.roles, why = why })
  if host.given().detach then return end -- nobody is there to ask
  local answer = engine.people.decide(from, why, verdict.roles)
  if answer == "go_on" then return end
  engine.live.deliver { verdict = answer, why = "the window was overdue", item = from, outside = true, cut = answer == "rollback" }
end

-- Called when the window opens, and after a resume inside it.
function M.watch()
  local window = program.header().t.window
  if asked or task or not window.overdue or not window.target then return end
  local from = program.names[window.from]
  task = host.spawn(function()
    local ok, problem = host.try(ask_when_late, from, window.overdue)
    if not ok and problem.kind ~= "cancelled" then engine.live.fatal(problem) end
  end)
end

-- Called when it closes, when the run goes back, and at the end.
function M.stop()
  if task and not host.ended(task) then host.cancel(task, "the window is closed") end
  task = nil
end

return M

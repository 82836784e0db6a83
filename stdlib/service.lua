-- systemd's units on this host, through systemctl and journalctl.
--   local service = require "service"
--   local running = service.running "reline-app"
--   step "stop" { running.off }   -- and later: step "start" { running.on }
-- There is no restart: stop, change, start are three steps, so that the way back starts again after the change is undone.
-- needs.shell: "sudo -n systemctl * UNIT"; for log() "sudo -n journalctl" too. With { sudo = false } the same without "sudo -n".
local arguments = require "arguments"
local M = {}

local shared = { sudo = { "boolean", true }, user = { "boolean", false } }

local function options_of(who, number, given, more)
  local known = {}
  for name, wanted in pairs(shared) do known[name] = wanted end
  for name, wanted in pairs(more or {}) do known[name] = wanted end
  return arguments.options(who, number, given, known)
end

-- The words before a program's own: a user's manager is asked without sudo.
local function command(program, options, ...)
  local words = options.sudo and not options.user and { "sudo", "-n", program } or { program }
  if options.user then words[#words + 1] = "--user" end
  for _, word in ipairs { ... } do words[#words + 1] = word end
  return words
end

local function run(words, more)
  for name, value in pairs(more or {}) do words[name] = value end
  return sh.run(words)
end

local function show(unit, options)
  local found = {}
  local out = run(command("systemctl", options, "show", unit, "--property=LoadState,ActiveState,SubState,Result"), { reads = true }).out
  for name, value in out:gmatch "(%w+)=([^\n]*)" do found[name] = value end
  if found.LoadState == "not-found" or not found.ActiveState then
    error { kind = "service.unknown", message = ("systemd knows no unit '%s'"):format(unit), hint = "the name of the unit without .service, as systemctl status takes it" }
  end
  return found
end

-- What systemd says: "active", "inactive", "failed", "activating", "deactivating", "reloading". Raises service.unknown.
function M.state(unit, options)
  arguments.word("service.state", 1, "unit", unit)
  return show(unit, options_of("service.state", 2, options)).ActiveState
end

local function await(unit, options, wanted, within, doing)
  local deadline = time.now()
  while true do
    local now = show(unit, options)
    if wanted[now.ActiveState] then return now.ActiveState end
    local waited = time.since(deadline)
    if now.ActiveState == "failed" or waited >= within then
      error { kind = "service.state", message = ("%s: %s, but it is %s (%s, %s) after %s"):format(
        unit, doing, now.ActiveState, now.SubState or "?", now.Result or "?", time.text(math.floor(waited + 0.5))), hint = "journalctl -u " .. unit }
    end
    sleep(math.min(0.5, within / 4))
  end
end

-- Starts it and waits until it is active. Options: active ("30s", how long that may take), sudo (true), user (false).
function M.start(unit, options)
  arguments.word("service.start", 1, "unit", unit)
  local o = options_of("service.start", 2, options, { active = { "duration", "30s" } })
  local done = run(command("systemctl", o, "start", unit))
  if arguments.unknown(done) then return done end
  return await(unit, o, { active = true }, o.active, "was started")
end

-- Stops it and waits until it is inactive; a unit that failed is stopped too. Options: inactive ("30s"), sudo, user.
function M.stop(unit, options)
  arguments.word("service.stop", 1, "unit", unit)
  local o = options_of("service.stop", 2, options, { inactive = { "duration", "30s" } })
  local done = run(command("systemctl", o, "stop", unit))
  if arguments.unknown(done) then return done end
  return await(unit, o, { inactive = true, failed = true }, o.inactive, "was stopped")
end

-- Has it read its settings again, where the unit can.
function M.reload(unit, options)
  arguments.word("service.reload", 1, "unit", unit)
  local o = options_of("service.reload", 2, options)
  run(command("systemctl", o, "reload", unit))
end

-- A toggle: on is started, off is stopped. Options of start and stop together.
function M.running(unit, options)
  arguments.word("service.running", 1, "unit", unit)
  local o = options_of("service.running", 2, options, { active = { "duration", "30s" }, inactive = { "duration", "30s" } })
  local function with(name) return { [name] = o[name], sudo = o.sudo, user = o.user } end
  return toggle {
    on = function() M.start(unit, with "active") end,
    off = function() M.stop(unit, with "inactive") end,
    state = function()
      local now = M.state(unit, with())
      if now == "active" then return "on" end
      return (now == "inactive" or now == "failed") and "off" or nil
    end,
  }
end

-- For a single step: `step "stop" { service.stopped "app" }`; undone, it runs again.
function M.started(unit, options) return M.running(unit, options).on end
function M.stopped(unit, options) return M.running(unit, options).off end

-- The lines that it logged. Options: since (a timestamp, seconds since the epoch, or "5m" for that long ago; default "5m"),
-- matching (a text or a list of them: only lines that contain one), lines (at most so many, 10000), sudo, user.
function M.log(unit, options)
  arguments.word("service.log", 1, "unit", unit)
  local o = options_of("service.log", 2, options, { since = { "any", "5m" }, matching = { "any" }, lines = { "number", 10000 } })
  local since = o.since
  if type(since) == "string" then since = time.before(time.now(), since) end
  if type(since) ~= "number" then since = tonumber(time.format(since, "%s")) end
  local out = run(command("journalctl", o, "--unit=" .. unit, "--since=@" .. ("%d"):format(math.floor(since)), "--lines=" .. ("%d"):format(o.lines),
    "--output=cat", "--no-pager", "--quiet"), { reads = true }).out
  local wanted = type(o.matching) == "string" and { o.matching } or o.matching
  local found = {}
  for line in out:gmatch "[^\n]+" do
    local fits = not wanted
    for _, text in ipairs(wanted or {}) do fits = fits or line:find(text, 1, true) ~= nil end
    if fits then found[#found + 1] = line end
  end
  return found
end

return M

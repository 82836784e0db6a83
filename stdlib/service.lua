-- systemd's units on this host, through systemctl and journalctl.
--   local service = require "service"
--   local running = service.running "reline-app"
--   step "stop" { running.off }   -- and later: step "start" { running.on }
-- There is no restart: stop, change, start are three steps, so that the way back starts again after the change is undone.
local arguments, declare = require "arguments", require "declare"
local M, def = declare.module("service", "systemd's units on this host. There is no restart: stop, change and start are steps.",
  'needs = { shell = { "sudo -n systemctl * UNIT" } }; for log() "sudo -n journalctl" too; with { sudo = false } without "sudo -n"')

local function shared(more)
  more.sudo = { "boolean", "through sudo -n", default = true }
  more.user = { "boolean", "of the user's own manager, without sudo", default = false }
  return more
end
local unit_of, errors = { "unit", "word", "as systemctl status takes it" }, { "service.unknown", "service.state", "shell.exit", "shell.not_found", "permission" }

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

def "state" { doc = "What systemd says about a unit.", unit_of, { "options", shared {}, "whose" },
  returns = { "string", "active, inactive, failed, activating, deactivating or reloading" }, raises = errors, reads = true, example = [[local now = service.state "nginx"]],
  run = function(unit, o) return show(unit, o).ActiveState end }

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

def "start" { doc = "Starts a unit and waits until it is active.", unit_of, { "options", shared { active = { "duration", "how long that may take", default = "30s" } }, "how" },
  returns = { "string", "its state" }, raises = errors, writes = true, example = [[service.start("nginx", { active = "10s" })]],
  run = function(unit, o)
    local done = run(command("systemctl", o, "start", unit))
    if arguments.unknown(done) then return done end
    return await(unit, o, { active = true }, o.active, "was started")
  end }

def "stop" { doc = "Stops a unit and waits until it is inactive; one that failed is stopped too.", unit_of,
  { "options", shared { inactive = { "duration", "how long that may take", default = "30s" } }, "how" },
  returns = { "string", "its state" }, raises = errors, writes = true, example = [[service.stop "nginx"]],
  run = function(unit, o)
    local done = run(command("systemctl", o, "stop", unit))
    if arguments.unknown(done) then return done end
    return await(unit, o, { inactive = true, failed = true }, o.inactive, "was stopped")
  end }

def "reload" { doc = "Has a unit read its settings again, where it can.", unit_of, { "options", shared {}, "whose" }, raises = errors, writes = true,
  example = [[service.reload "nginx"]], run = function(unit, o) run(command("systemctl", o, "reload", unit)) end }

local both = { active = { "duration", "how long a start may take", default = "30s" }, inactive = { "duration", "how long a stop may take", default = "30s" } }

local function running(unit, o)
  local function with(name) return { [name] = o[name], sudo = o.sudo, user = o.user } end
  return toggle {
    on = function() M.start(unit, with "active") end,
    off = function() M.stop(unit, with "inactive") end,
    state = function()
      local now = M.state(unit, { sudo = o.sudo, user = o.user })
      if now == "active" then return "on" end
      return (now == "inactive" or now == "failed") and "off" or nil
    end,
  }
end

def "running" { doc = "A toggle: on is started, off is stopped.", unit_of, { "options", shared(both), "how" }, returns = { "toggle", "for steps: .on and .off" }, raises = { "argument" },
  example = [[local app = service.running "app"]], run = running }

def "started" { doc = "For a single step: the unit runs; undone, it is stopped.", unit_of, { "options", shared(both), "how" }, returns = { "action", "for a step" }, raises = { "argument" },
  example = [[local start = service.started "app"]], run = function(unit, o) return running(unit, o).on end }

def "stopped" { doc = "For a single step: the unit is stopped; undone, it runs again.", unit_of, { "options", shared(both), "how" }, returns = { "action", "for a step" }, raises = { "argument" },
  example = [[local stop = service.stopped "app"]], run = function(unit, o) return running(unit, o).off end }

def "log" { doc = "The lines that a unit logged.", unit_of,
  { "options", shared { since = { "any", "a timestamp, seconds since the epoch, or that long ago", default = "5m" }, till = { "count", "seconds since the epoch: only what was logged before" },
    matching = { "any", "a text or a list of them: only lines that contain one" },
    lines = { "count", "at most so many", default = 10000 } }, "which lines" },
  returns = { "string[]", "in their order" }, raises = { "shell.exit", "shell.not_found", "permission" }, reads = true, example = [[local lines = service.log("nginx", { since = "10m", matching = "error" })]],
  run = function(unit, o)
    local since = o.since
    if type(since) == "string" then since = time.before(time.now(), since) end
    if type(since) ~= "number" then since = tonumber(time.format(since, "%s")) end
    local words = command("journalctl", o, "--unit=" .. unit, "--since=@" .. ("%d"):format(math.floor(since)))
    if o.till then words[#words + 1] = "--until=@" .. ("%d"):format(o.till) end
    for _, word in ipairs { "--lines=" .. ("%d"):format(o.lines), "--output=cat", "--no-pager", "--quiet" } do words[#words + 1] = word end
    local answer = run(words, { reads = true })
    if arguments.unknown(answer) then return answer end
    local out = answer.out
    local wanted = type(o.matching) == "string" and { o.matching } or o.matching
    local found = {}
    for text_line in out:gmatch "[^\n]+" do
      local fits = not wanted
      for _, text in ipairs(wanted or {}) do fits = fits or text_line:find(text, 1, true) ~= nil end
      if fits then found[#found + 1] = text_line end
    end
    return found
  end }

return M

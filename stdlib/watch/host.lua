-- This host by itself, and what applications write into their logs.
local arguments, sample, prometheus = require "arguments", require "watch.sample", require "watch.prometheus"
local M = {}

-- The share of the processors' time that was not idle since the last look; the first look takes a second of its own.
local function busy(mine)
  local now = system.usage()
  if arguments.unknown(now) then return now end
  if not mine.total_s then
    mine.busy_s, mine.total_s = now.busy_s, now.total_s
    sleep(1)
    now = system.usage()
  end
  if now.total_s - mine.total_s < 0.1 * now.cpus then -- a few ticks say nothing
    sleep(0.2)
    now = system.usage()
  end
  local spent, all = now.busy_s - mine.busy_s, now.total_s - mine.total_s
  if all <= 0 then sample.none("empty", "no time has passed since the last look") end
  mine.busy_s, mine.total_s = now.busy_s, now.total_s
  return math.max(0, math.min(1, spent / all))
end

function M.new(o)
  local state, members = sample.states(), {}
  local function add(name, unit, fn) members[name] = sample.new(name, unit, fn) end
  local function usage(name, of)
    return function()
      local now = system.usage()
      if arguments.unknown(now) then return now end
      return of and of(now) or now[name]
    end
  end
  add("cpu_used", "ratio", function(who) return busy(state(who)) end)
  add("memory_used", "ratio", usage "memory_used")
  add("memory_available", "bytes", usage "memory_available")
  add("load", "count", usage("load", function(now) return now.load5 end))
  add("load_per_cpu", "count", usage("load_per_cpu", function(now) return now.load5 / now.cpus end))
  add("disk_used", "ratio", function()
    local found = fs.disk(o.disk)
    if arguments.unknown(found) then return found end
    return 1 - found.free_ratio
  end)
  add("disk_free", "bytes", function()
    local found = fs.disk(o.disk)
    if arguments.unknown(found) then return found end
    return found.free
  end)
  function members.sample()
    local now = system.usage()
    if arguments.unknown(now) then return now end
    return { cpu_used = busy(state()), memory_used = now.memory_used, memory_available = now.memory_available, load = now.load5, load_per_cpu = now.load5 / now.cpus }
  end
  function members.baseline() return members.sample() end
  return sample.service("watch.system", members)
end

local function texts(value)
  if type(value) == "string" then return { value } end
  return value
end

-- The lines of a file that were added since the last look of whoever asks, counted.
function M.log(path, o)
  local state = sample.states()
  return sample.new("log", "count", function(who)
    local mine = state(who)
    local found = system.log(path, { from = mine.mark, matching = texts(o.matching), but = texts(o.but) })
    if arguments.unknown(found) then return found end
    mine.mark = found.mark
    if found.lost then sample.none("empty", path .. " was replaced, and the rest of the old one is gone") end
    return found.matches
  end)
end

-- The same of what a unit of systemd logs, by whole seconds: journalctl knows no finer ones, and no line may count twice.
function M.unit_log(unit, o)
  local state, service = sample.states(), require "service"
  return sample.new("log", "count", function(who)
    local mine, till = state(who), math.floor(prometheus.now())
    local since = mine.since
    if not since then mine.since = till end
    if not since or till <= since then return 0 end
    local lines = service.log(unit, { since = since, till = till, matching = texts(o.matching), sudo = o.sudo, user = o.user, lines = 1000000 })
    if arguments.unknown(lines) then return lines end
    mine.since = till
    return #lines
  end)
end

return M

-- The environment of playbooks: what is left of Lua when nothing in it can reach the machine.
-- Runs once per state, with the full libraries; returns the environment table. Deep copies, so that a playbook that
-- changes `string` changes its own copy only. Never hands out getfenv, setfenv, debug, collectgarbage, or a raw coroutine.
local host = ...
local raw = {
  pcall = pcall, error = error, type = type, rawget = rawget, setmetatable = setmetatable, getmetatable = getmetatable,
  load = load, setfenv = setfenv, tostring = tostring, pairs = pairs, ipairs = ipairs, select = select, unpack = unpack, tonumber = tonumber,
  resume = coroutine.resume, yield = coroutine.yield, create = coroutine.create, running = coroutine.running,
  status = coroutine.status,
}
local PARK = host.park_token

local function copy(library)
  local result = {}
  for name, value in raw.pairs(library) do result[name] = value end
  return result
end

-- Errors that a playbook may not swallow: the watchdog's, and running out of memory.
local function fatal(err)
  return err == "not enough memory" or raw.type(err) == "table" and raw.rawget(err, "kind") == "runaway"
end
local function checked(ok, err, ...)
  if not ok and fatal(err) then raw.error(err, 0) end
  return ok, err, ...
end

local env = {
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, rawequal = rawequal, rawget = rawget,
  rawset = rawset, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
  setmetatable = setmetatable, _VERSION = _VERSION, null = host.null, decimal = host.decimal,
  table = copy(table), string = copy(string), math = copy(math), bit = copy(bit),
}
env._G = env
env.string.dump = nil
-- With a secret among its values the result is one too: %s only, since what it prints is not known here.
local format, find, sub = string.format, string.find, string.sub
function env.string.format(pattern, ...)
  local values, secrets = nil, 0
  for i = 1, raw.select("#", ...) do
    local value = raw.select(i, ...)
    if raw.type(value) == "userdata" and raw.tostring(value) == "***" then
      values = values or { ... }
      secrets = secrets + 1
      values[i] = "\1secret" .. i .. "\1"
    end
  end
  if not values then return format(pattern, ...) end
  local text, result, at = format(pattern, raw.unpack(values, 1, raw.select("#", ...))), "", 1
  for _ = 1, secrets do
    local first, last, i = find(text, "\1secret(%d+)\1", at)
    if not first then raw.error("string.format: a secret fits %s alone", 2) end
    result = result .. sub(text, at, first - 1) .. (raw.select(raw.tonumber(i), ...))
    at = last + 1
  end
  return result .. sub(text, at)
end
env.table.foreach, env.table.foreachi, env.table.getn, env.table.maxn = nil, nil, nil, nil

function env.pcall(f, ...) return checked(raw.pcall(f, ...)) end

-- Rebuilt on pcall: the original skips its handler for errors that come out of C++.
function env.xpcall(f, handler, ...)
  local function after(ok, ...)
    if ok then return true, ... end
    return false, handler(...)
  end
  return after(checked(raw.pcall(f, ...)))
end

function env.getmetatable(value)
  if raw.type(value) ~= "table" then return nil end
  return raw.getmetatable(value)
end

-- Coroutines: a park inside a nested one is bounced up to the task; nothing else may resume a parked coroutine.
local parked = raw.setmetatable({}, { __mode = "k" })
local co = {}
env.coroutine = co
co.status = raw.status

local function bounce(thread, ok, first, ...)
  host.leave()
  if ok and first == PARK then
    parked[thread] = true
    local operation = raw.yield(PARK)
    parked[thread] = nil
    host.enter(thread)
    return bounce(thread, raw.resume(thread, operation))
  end
  return checked(ok, first, ...)
end

local function resume(thread, ...)
  if parked[thread] then return false, "cannot resume a coroutine that waits for an operation" end
  if raw.type(thread) ~= "thread" then raw.error("coroutine.resume: coroutine expected, got " .. raw.type(thread), 2) end
  host.enter(thread)
  return bounce(thread, raw.resume(thread, ...))
end

co.resume = resume
function co.create(f)
  if raw.type(f) ~= "function" then raw.error("coroutine.create: function expected, got " .. raw.type(f), 2) end
  return raw.create(f)
end
local function rethrow(ok, first, ...)
  if not ok then raw.error(first, 0) end
  return first, ...
end
function co.wrap(f)
  local thread = co.create(f)
  return function(...) return rethrow(resume(thread, ...)) end
end
function co.yield(...)
  if not host.nested() then raw.error("coroutine.yield: outside a coroutine", 2) end
  return raw.yield(...)
end
function co.running()
  if host.nested() then return raw.running() end
end

-- `load` compiles text only, in this environment or in the table given.
function env.load(chunk, name, _, environment)
  if raw.type(chunk) == "function" then
    local pieces = {}
    while true do
      local piece = chunk()
      if piece == nil or piece == "" then break end
      pieces[#pieces + 1] = piece
    end
    chunk = table.concat(pieces)
  end
  if raw.type(chunk) ~= "string" then raw.error("load: string expected, got " .. raw.type(chunk), 2) end
  local ok, problem = raw.pcall(host.check_source, chunk, raw.type(name) == "string" and name or "load")
  if not ok then return nil, raw.tostring(problem) end
  local f, message = raw.load(chunk, name or "=load", "t", environment or env)
  if not f then return nil, message end
  return f
end
env.loadstring = env.load

-- Undeclared names raise; definitions of new globals too.
raw.setmetatable(env, {
  __metatable = false,
  __index = function(_, name) host.undefined(name, env) end,
  __newindex = function(_, name)
    raw.error("assignment to the undeclared name '" .. raw.tostring(name) .. "': write `local " .. raw.tostring(name) .. "`", 2)
  end,
})

-- The metatable of strings is shared by the whole state: it gets the sandbox's copy, and protection.
local strings = raw.getmetatable ""
strings.__index = copy(env.string)
strings.__metatable = false
string.dump = nil
newproxy, collectgarbage, gcinfo = nil, nil, nil

return env

-- What the samples of `watch` are: tables that are called like functions, and say what they are called and count in. A monitor
-- checks its levels against the unit. A service is a table of samples: a name that it does not have is an error while the file loads.
local arguments = require "arguments"
local M = {}

local none

local function called(self)
  local value, requests = self.look()
  if type(value) == "table" then none("empty", value.why) end
  return value, requests
end

local Sample = { __call = called, __tostring = function(self) return "sample " .. self.name end }

-- `look` gets the name of the monitor that asks, nil where nobody does; it returns a value, or a value and the number of requests behind it; it raises where there is none, or returns
-- { why =, requests = }: a monitor asks it, and too few requests for a rule are no fault. Whoever calls the sample gets a value or an error.
function M.new(name, unit, look) return setmetatable({ name = name, unit = unit, look = look }, Sample) end

function M.is(value) return type(value) == "table" and getmetatable(value) == Sample end

-- Raises: there is no such data. A monitor takes it for a missing sample, a checkpoint and a probe do not pass.
function none(kind, message, hint) error({ kind = "watch." .. kind, message = message, hint = hint }, 0) end
M.none = none

-- A service of samples and functions; `what` is what it is called in errors.
function M.service(what, members)
  return setmetatable(members, { __index = function(_, key)
    if type(key) ~= "string" or key:find "^__" or key == "methods" then return nil end
    local known, names = {}, {}
    for name, value in pairs(members) do
      if M.is(value) or type(value) == "function" then known[name], names[#names + 1] = true, name end
    end
    table.sort(names)
    error({ kind = "argument", message = ("%s has no '%s'%s"):format(what, key, arguments.did_you_mean(key, known)),
      hint = "it has " .. table.concat(names, ", ") }, 0)
  end })
end

-- A function that gives each monitor a state of its own: what counts since the last look must not count for another one.
function M.states()
  local all = {}
  return function(who)
    who = who or ""
    all[who] = all[who] or {}
    return all[who]
  end
end

-- The difference of a counter to the last look of whoever asks; nil at the first one. One that went back began again.
function M.difference(state, key, now)
  local before = state[key]
  state[key] = now
  if before == nil then return nil end
  return now >= before and now - before or now
end

return M

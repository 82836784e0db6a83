-- Checks of arguments for modules that are written in Lua, in the words that native functions use.
local M = {}

-- Raises an error of the kind `argument`.
function M.fail(who, number, name, why)
  error({ kind = "argument", message = ("%s: argument %d '%s': %s"):format(who, number, name, why) }, 0)
end

local function word(value)
  return value == nil and "nil" or type(value)
end

-- The value, if it is a non-empty string.
function M.text(who, number, name, value)
  if type(value) ~= "string" then M.fail(who, number, name, "string expected, got " .. word(value)) end
  if value == "" then M.fail(who, number, name, "must not be empty") end
  return value
end

-- The text, if it may stand as a word of a command: what begins with a hyphen would be an option there.
function M.word(who, number, name, value)
  M.text(who, number, name, value)
  if value:find "^%-" or value:find "[%c]" then M.fail(who, number, name, ("'%s' is no name"):format(value)) end
  return value
end

-- Whether a result is unknown: a dry run says what would change something in place of doing it, and there is nothing to wait for.
function M.unknown(result) return type(result) == "userdata" end

local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local corner
    corner, row[0] = row[0], i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and corner or 1 + math.min(corner, row[j], row[j - 1])
      corner, row[j] = row[j], cost
    end
  end
  return row[#b]
end

-- The options, with what `known` says in the place of those left out: name = { "string" | "number" | "boolean" | "duration" | "table" | "any", default }.
-- Durations become seconds. A name that is not known is refused, and the nearest is named.
function M.options(who, number, given, known)
  local result = {}
  if given == nil then given = {} end
  if type(given) ~= "table" then M.fail(who, number, "options", "table of options expected, got " .. word(given)) end
  for name, value in pairs(given) do
    local wanted = known[name]
    if not wanted then
      local best, far = nil, math.huge
      for other in pairs(known) do
        local d = distance(tostring(name), other)
        if d < far or d == far and other < best then best, far = other, d end
      end
      local near = best and far <= math.ceil(#tostring(name) / 3) and (" (did you mean '%s'?)"):format(best) or ""
      M.fail(who, number, "options", ("unknown option '%s'%s"):format(tostring(name), near))
    end
    if wanted[1] == "duration" then
      local ok, seconds = pcall(time.duration, value)
      if not ok then M.fail(who, number, "options", ("option '%s': duration such as 30s or 10m expected, got %s"):format(name, type(value) == "string" and "'" .. value .. "'" or word(value))) end
      value = seconds
    elseif wanted[1] ~= "any" and type(value) ~= wanted[1] then
      M.fail(who, number, "options", ("option '%s': %s expected, got %s"):format(name, wanted[1], word(value)))
    end
    result[name] = value
  end
  for name, wanted in pairs(known) do
    if result[name] == nil then
      result[name] = wanted[2]
      if wanted[1] == "duration" and type(wanted[2]) == "string" then result[name] = time.duration(wanted[2]) end
    end
  end
  return result
end

return M

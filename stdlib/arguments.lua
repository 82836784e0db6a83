-- Errors of arguments for modules that are written in Lua, in the words that native functions use. What is checked, declare.lua says.
local M = {}

-- Raises an error of the kind `argument`.
function M.fail(who, number, name, why)
  error({ kind = "argument", message = ("%s: argument %d '%s': %s"):format(who, number, name, why) }, 0)
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

-- " (did you mean 'x'?)" with the nearest of the names that `known` has as keys, or nothing where none is near.
function M.did_you_mean(name, known)
  local best, far = nil, math.huge
  for other in pairs(known) do
    local d = distance(name, other)
    if d < far or d == far and other < best then best, far = other, d end
  end
  return best and far <= math.ceil(#name / 3) and (" (did you mean '%s'?)"):format(best) or ""
end

-- Raises an error that names the nearest of what is known.
function M.unknown_option(who, number, name, known)
  M.fail(who, number, "options", ("unknown option '%s'%s"):format(tostring(name), M.did_you_mean(tostring(name), known)))
end

return M

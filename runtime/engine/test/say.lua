-- What a test says when something is not as it should be: values as a person would write them, comparison, the error that
-- names the line of the test. The first problem inside a run (in a fake, or a call without one) is kept for the test.
local test = ...
local host = test.host
local M = {}

local function is_list(value)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count == #value
end

-- A value as it would stand in the test.
function M.shown(value, depth)
  if type(value) == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c) return c == "\n" and "\\n" or c == "\t" and "\\t" or (c == '"' or c == "\\") and "\\" .. c or ("\\%d"):format(c:byte()) end) .. '"'
  end
  if type(value) == "number" then return value % 1 == 0 and math.abs(value) < 2 ^ 53 and ("%d"):format(value) or ("%.14g"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  depth = depth or 0
  if depth > 4 then return "{ … }" end
  local parts = {}
  if is_list(value) then
    for i = 1, math.min(#value, 40) do parts[i] = M.shown(value[i], depth + 1) end
    if #value > 40 then parts[41] = ("… %d in all"):format(#value) end
  else
    for _, key in ipairs(host.sorted_keys(value)) do
      parts[#parts + 1] = (type(key) == "string" and key:match "^[%a_][%w_]*$" and key or "[" .. M.shown(key, depth + 1) .. "]") .. " = " .. M.shown(value[key], depth + 1)
    end
  end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

function M.same(a, b, depth)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" or (depth or 0) > 50 then return false end
  for key, value in pairs(a) do
    if not M.same(value, b[key], (depth or 0) + 1) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- Keeps the first problem of a run: a playbook may swallow it, the test may not.
function M.note(problem)
  if test.running and not test.problem then test.problem = problem end
end

-- Raises with the line of the test that called: what was expected is not so, or the test itself is wrong.
local function raise(kind, message, hint)
  local _, problem = host.try(host.raise, kind, message, hint)
  M.note(problem)
  error(problem, 0)
end
function M.fail(message, hint) raise("expect", message, hint) end
function M.wrong(message, hint) raise("usage", message, hint) end

function M.check(fine, word, what, value)
  if not fine then M.wrong(("%s: %s expected, got %s"):format(word, what, type(value) == "string" and M.shown(value) or host.type_word(value))) end
  return value
end

function M.seconds(word, value)
  local found = (type(value) == "string" or type(value) == "number" and value >= 0) and host.parse_duration(value) or nil
  M.check(found, word, "a duration such as 30s or 10m", value)
  return found
end

-- Options by name; one that is not known names the nearest.
function M.options(word, given, known)
  if given == nil then return {} end
  M.check(type(given) == "table", word, "a table of options", given)
  for _, key in ipairs(host.sorted_keys(given)) do
    if not known[key] then M.wrong(("%s: unknown option '%s'%s"):format(word, tostring(key), host.did_you_mean(tostring(key), known))) end
    if type(given[key]) ~= known[key] and known[key] ~= "any" then
      M.wrong(("%s: option '%s': %s expected, got %s"):format(word, key, known[key], host.type_word(given[key])))
    end
  end
  return given
end

return M

-- `expect` and `print`: what a function says about what it sees.
local language = ...
local host, words = language.host, language.words

-- Post-conditions: expect(value, "what") raises where the value is not true.
words.expect = setmetatable({
  none = function(list, what)
    if type(list) ~= "table" or #list > 0 then
      host.raise("expect", ("expected none: %s, found %s"):format(what or "items", type(list) == "table" and tostring(#list) or host.type_word(list)), nil, 2)
    end
    return list
  end,
  equal = function(actual, expected, what)
    if actual ~= expected then
      host.raise("expect", ("%s: expected %s, got %s"):format(what or "value", tostring(expected), tostring(actual)), nil, 2)
    end
    return actual
  end,
}, { __call = function(_, value, what)
  if value ~= true then host.raise("expect", ("expected: %s, got %s"):format(what or "true", tostring(value)), nil, 2) end
  return value
end, __metatable = false })

function words.print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  host.emit("log", { level = "info", text = table.concat(parts, "  ") })
end

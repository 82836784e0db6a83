-- The levels that a monitor's rules compare with: their words relative and points, what a text says, and whether that fits what
-- the sample counts in. A number without a unit is refused where it could mean several things. Load time only.
local language = ...
local host, words = language.host, language.words
local fail, is = language.fail, language.is
local Level = {}

-- What a path such as "web.p95" finds in the result of a step, given by its handle.
local function in_result(handle, path)
  return function()
    local value = handle.result
    for key in path:gmatch "[^.]+" do value = type(value) == "table" and value[key] or nil end
    return value
  end
end

-- relative(0.5, fn): half as much again as a baseline; points(0.1, fn): that much more than it. The baseline is what `fn`
-- returns, or what stands in a step's result (relative(0.5, before, "web.p95")), else what the sample said before the first step.
local function against(kind)
  return function(by, fn, path)
    if type(by) ~= "number" or by ~= by or by <= 0 then fail(2, ("%s: argument 1: a number above 0 expected, got %s"):format(kind, tostring(by))) end
    if type(fn) == "table" and language.handles[fn] then
      if type(path) ~= "string" or path == "" then
        fail(2, ('%s: argument 3: where the baseline stands in the result expected, such as "web.p95", got %s'):format(kind, host.type_word(path)))
      end
      fn = in_result(fn, path)
    end
    if fn ~= nil and type(fn) ~= "function" then
      fail(2, ("%s: argument 2: a function that returns the baseline, or a step's handle, expected, got %s"):format(kind, host.type_word(fn)))
    end
    return { __class = Level, kind = kind, by = by, baseline = fn }
  end
end
words.relative, words.points = against "relative", against "points"

-- What each unit is called, and how a level of it is written.
local units = {
  seconds = { "a time", '"200ms"' }, ratio = { "a share", '0.05 or "5 %"' }, bytes = { "an amount of bytes", '"10 GB"' },
  per_second = { "a rate", '20 or "20/min"' }, count = { "a number", "5" },
}
local expected = "a number, a percentage, a duration, relative(…) or points(…) expected, got %s"

local function against_text(level, unit)
  if level.kind == "relative" then return ("the baseline by %g %%"):format(level.by * 100) end
  return ("the baseline by %s"):format(unit == "ratio" and host.quantity_text(level.by * 100) .. " points" or host.quantity_text(level.by, unit))
end

local function of_number(value, unit, name)
  if value ~= value then return nil, expected:format "NaN" end
  local said = ("%g"):format(value)
  if unit == "seconds" and value ~= 0 then return nil, ('%s has no unit, and %s is a time: write "%sms" or "%ss"'):format(said, name, said, said) end
  if unit == "bytes" and value ~= 0 then return nil, ('%s has no unit, and %s is an amount of bytes: write "%s MB" or "%s GB"'):format(said, name, said, said) end
  if unit == "ratio" and (value > 1 or value < 0) then return nil, ('%s is no share, and %s is one, from 0 to 1: write "%s %%" or %g'):format(said, name, said, value / 100) end
  return { number = value, text = said }
end

-- "+10 %", "10 % more", "50 % worse", "2x": against what, and how, is not said.
local function vague(text)
  local by = text:match "^%s*[+-]%s*([%d.]+)%s*%%" or text:match "^%s*([%d.]+)%s*%%%s*%a"
  if not by then
    local times = tonumber(text:match "^%s*([%d.]+)%s*[xX×]" or text:match "^%s*[xX]%s*([%d.]+)%s*$")
    by = times and times > 1 and (times - 1) * 100
  end
  return tonumber(by)
end

local function of_text(text, unit, name)
  local by = vague(text)
  if by then
    return nil, ("'%s' does not say against what: write relative(%g), a part of the baseline, or points(%g), the distance from it"):format(text, by / 100, by / 100)
  end
  local number, written = host.parse_quantity(text)
  if not number then return nil, expected:format("'" .. text .. "'") end
  if unit and written ~= unit then
    if written == "ratio" then
      return nil, ("'%s' of what? %s is %s: write relative(%g), a part of the baseline, or a level such as %s"):format(text, name, units[unit][1], number, units[unit][2])
    end
    return nil, ("'%s' is %s, and %s is %s, such as %s"):format(text, units[written][1], name, units[unit][1], units[unit][2])
  end
  if written == "ratio" and (number > 1 or number < 0) and unit then return nil, ("'%s' is more than there is: %s is a share of at most 100 %%"):format(text, name) end
  return { number = number, text = text }
end

-- A level as {number, text} or {kind, by, baseline, text}; or nil and what is wrong with it. `unit` is what the sample `name`
-- counts in, nil where nobody knows.
local function level(value, unit, name)
  if is(value, Level) then return { kind = value.kind, by = value.by, baseline = value.baseline, text = against_text(value, unit) } end
  if type(value) == "number" then return of_number(value, unit, name) end
  if type(value) == "string" then return of_text(value, unit, name) end
  return nil, expected:format(host.type_word(value))
end

local kinds = { "above", "below", "outside", "is" }

-- The kind of level that a rule has, or nil and what is wrong with it.
local function kind_of(t)
  local kind
  for _, name in ipairs(kinds) do
    if t[name] ~= nil then
      if kind then return nil, ("both '%s' and '%s': one level a rule"):format(kind, name) end
      kind = name
    end
  end
  if not kind then return nil, "a level is missing: above, below, outside or is" end
  return kind
end

local by_kind = {}
function by_kind.is(value)
  if type(value) ~= "boolean" and type(value) ~= "string" and (type(value) ~= "number" or value ~= value) then
    return nil, "true, false, a number or a string expected, got " .. host.type_word(value)
  end
  return { value = value, text = tostring(value) }
end
function by_kind.outside(value, unit, name)
  if type(value) ~= "table" or value[1] == nil or value[2] == nil then return nil, "{ lowest, highest } expected" end
  local low, problem = level(value[1], unit, name)
  if not low then return nil, problem end
  local high, other = level(value[2], unit, name)
  if not high then return nil, other end
  if not low.number or not high.number or low.number > high.number then return nil, "{ lowest, highest } expected" end
  return { low = low.number, high = high.number, text = ("%s to %s"):format(low.text, high.text) }
end

-- The levels of a rule: {kind, {severity?, level}…}; or nil and what is wrong. above = { warning =, critical = } gives two.
local function levels(t, unit, name)
  local kind, problem = kind_of(t)
  if not kind then return nil, problem end
  local value = t[kind]
  local function failed(text) return nil, ("option '%s': %s"):format(kind, text) end
  if type(value) == "table" and not is(value, Level) and (value.warning ~= nil or value.critical ~= nil) then
    if kind ~= "above" and kind ~= "below" then return failed "warning and critical are for above and below" end
    for key in pairs(value) do
      if key ~= "warning" and key ~= "critical" then return failed(("unknown option '%s'%s"):format(tostring(key), host.did_you_mean(tostring(key), { warning = 1, critical = 1 }))) end
    end
    local list = {}
    for _, severity in ipairs { "warning", "critical" } do
      if value[severity] == nil then return failed(severity .. " is missing beside the other one") end
      local found, wrong = level(value[severity], unit, name)
      if not found then return failed(("%s: %s"):format(severity, wrong)) end
      list[#list + 1] = { severity = severity, level = found }
    end
    local mild, bad = list[1].level, list[2].level
    local a, b = mild.number or mild.by, bad.number or bad.by
    if mild.kind == bad.kind and a and (a == b or (a > b) == (kind == "above" or mild.kind ~= nil)) then
      return failed(("warning at %s never comes before critical at %s"):format(mild.text, bad.text))
    end
    return kind, list
  end
  local found, wrong = (by_kind[kind] or level)(value, unit, name)
  if not found then return failed(wrong) end
  return kind, { { level = found } }
end

language.levels, language.known_units = levels, units

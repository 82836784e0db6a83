-- One look of a monitor: what its samples said, which rules they breach, and the figures kept of them. Cannot fail open: an
-- error, nil, NaN, a table without a value, a stale or late answer is no data, and no data is never within a limit.
local engine = ...
local host, common = engine.host, engine.common
local M = {}

local function number(value) return type(value) == "number" and value == value and value ~= math.huge and value ~= -math.huge end

-- A sample's answer as value, requests; or nil, the requests where they are known, and why it is no data. An answer is a value, or
-- { value =, requests =, at =, why = }: why there is no value.
function M.read(answer, requests, stale_s)
  local value, at = answer, nil
  if type(answer) == "table" then
    value, requests, at = answer.value, answer.requests, answer.at
    if value == nil then return nil, number(requests) and requests or nil, type(answer.why) == "string" and answer.why or "a table without a value" end
  end
  if value == nil then return nil, nil, "nil" end
  if type(value) == "number" and not number(value) then return nil, nil, value ~= value and "NaN" or "infinite" end
  if type(value) ~= "number" and type(value) ~= "boolean" and type(value) ~= "string" then return nil, nil, "a value expected, got " .. host.type_word(value) end
  if at ~= nil then
    local taken = type(at) == "number" and at or type(at) == "string" and host.parse_time(at) or nil
    if not taken then return nil, nil, "its time cannot be read" end
    local age = host.now() - taken
    if age > stale_s then return nil, nil, ("stale: %s old"):format(host.duration_text(age)) end
  end
  if requests ~= nil and not number(requests) then return nil, nil, "its number of requests cannot be read" end
  return value, requests
end

-- Asks a rule's sample: ok, answer, requests. One of `watch` raises where it has no value; what it says to a monitor has the requests
-- too, and what it counts since the last look is counted for each monitor by itself.
function M.ask(item, rule)
  local look = type(rule.sample) == "table" and rawget(rule.sample, "look")
  if type(look) == "function" then return common.limited(item.timeout_s, look, item.name) end
  return common.limited(item.timeout_s, rule.sample)
end

-- Asks every sample of the monitor once. Returns {t, v = values, n = requests, x = why there is none}, each by sample name.
function M.take(item)
  local data = { t = math.floor(host.now() * 1000) / 1000, v = {}, n = {}, x = {} }
  local asked = {}
  for _, rule in ipairs(item.rules) do
    if not asked[rule.name] then
      asked[rule.name] = true
      common.allow_reads(item)
      local ok, answer, requests = M.ask(item, rule)
      if ok then
        local value, n, problem = M.read(answer, requests, item.stale_s)
        data.v[rule.name], data.n[rule.name], data.x[rule.name] = value, n, problem
      else
        data.x[rule.name] = ("%s: %s"):format(answer.kind, answer.message)
      end
    end
  end
  for _, key in ipairs { "v", "n", "x" } do
    if next(data[key]) == nil then data[key] = nil end
  end
  return data
end

-- The level of a rule as a number, or nil while its baseline is not known.
function M.level(item, rule)
  local level = rule.level
  if not level.kind then return level.number end
  local base = item.baselines and item.baselines[rule.index]
  if not base then return nil end
  local by = level.kind == "relative" and math.abs(base) * level.by or level.by
  return rule.kind == "below" and base - by or base + by
end

-- "breach", "fine", "few" (not enough requests to judge) or "none" (no data), with the value that was judged.
local function judge(item, rule, data)
  local value = (data.v or {})[rule.name]
  if rule.requests then
    local n = (data.n or {})[rule.name]
    if n and n < rule.requests then return "few", value end
    if not n then return "none" end
  end
  if value == nil then return "none" end
  if rule.kind == "is" then
    if type(value) ~= type(rule.level.value) then return "none" end
    return value == rule.level.value and "breach" or "fine", value
  end
  if type(value) ~= "number" then return "none" end
  if rule.over then
    local window, sum = rule.window or {}, 0
    rule.window = window
    window[#window + 1] = { t = data.t, value = value }
    while window[1].t <= data.t - rule.over do table.remove(window, 1) end
    for _, entry in ipairs(window) do sum = sum + entry.value end
    value = sum
  end
  if rule.kind == "outside" then return (value < rule.level.low or value > rule.level.high) and "breach" or "fine", value end
  local limit = M.level(item, rule)
  if not limit then return "none" end
  if rule.kind == "above" then return value > limit and "breach" or "fine", value end
  return value < limit and "breach" or "fine", value
end

local function figures(item, name, value)
  local one = item.figures[name]
  if not one then
    one = { samples = 0, missing = 0 }
    item.figures[name] = one
  end
  if value == nil then
    one.missing = one.missing + 1
    return
  end
  one.samples, one.last = one.samples + 1, value
  if type(value) ~= "number" then return end
  one.max, one.min = math.max(one.max or value, value), math.min(one.min or value, value)
  one.avg = ((one.avg or 0) * (one.samples - 1) + value) / one.samples
end

-- Takes a look into the monitor's books: from the sample or, after a restart, from the journal. Returns the rules that are
-- over their limit for as long as they say ({rule, value, since}), those that are fine, and whether data is missing too long.
function M.absorb(item, data)
  local breached, fine, seen, missing = {}, {}, {}, false
  item.last_t, item.looks = data.t, (item.looks or 0) + 1
  for index, rule in ipairs(item.rules) do
    rule.index = index
    if not seen[rule.name] then
      seen[rule.name] = true
      figures(item, rule.name, (data.v or {})[rule.name])
    end
    local state, value = judge(item, rule, data)
    if state == "breach" or state == "fine" then rule.judged = (rule.judged or 0) + 1 end
    if state == "breach" then
      rule.gone = 0
      rule.since, rule.count = rule.since or data.t, (rule.count or 0) + 1
      local lasted = data.t - rule.since
      if (not rule.sustained or lasted >= rule.sustained) and rule.count >= (rule.times or 1) then
        breached[#breached + 1] = { rule = rule, value = value, lasted = lasted }
      end
    elseif state == "fine" then
      rule.gone, rule.since, rule.count = 0, nil, nil
      fine[#fine + 1] = rule
    elseif state == "few" then
      rule.gone = 0
      rule.most = math.max(rule.most or 0, data.n[rule.name])
    else
      rule.gone = (rule.gone or 0) + 1
      if rule.gone >= item.no_data_after then
        missing, rule.since, rule.count = missing or rule.name, nil, nil
      end
    end
  end
  return breached, fine, missing
end

-- A gap without samples, `missing` of them: what was over a limit before it proves nothing after it.
function M.gap(item, missing)
  for _, rule in ipairs(item.rules) do
    rule.gone = (rule.gone or 0) + missing
    if rule.gone >= item.no_data_after then rule.since, rule.count, rule.window = nil, nil, nil end
  end
  for _, one in pairs(item.figures) do one.missing = one.missing + missing end
end

-- Rules that were never judged: nothing is known of them, and that is no pass. {few = those that had too few requests each time,
-- blind = those without any data}.
function M.unjudged(item)
  local few, blind = {}, {}
  for _, rule in ipairs(item.rules) do
    if not rule.judged then
      local into = rule.most and few or blind
      into[#into + 1] = rule
    end
  end
  return few, blind
end

-- What later steps, goals and the report see.
function M.result(item)
  local result = { looks = item.looks or 0, breaches = item.breaches or 0, rules = {} }
  for index, rule in ipairs(item.rules) do
    local one = item.figures[rule.name]
    result.rules[index] = { sample = rule.name, kind = rule.kind, level = rule.level.text, severity = rule.severity, verdict = rule.verdict.verdict, breaches = rule.breaches or 0, judged = rule.judged or 0,
      max = one and one.max, min = one and one.min, last = one and one.last, samples = one and one.samples or 0, missing = one and one.missing or 0 }
    local base = item.baselines and item.baselines[index]
    if one and base then
      one.baseline = base
      if one.avg and rule.level.kind == "points" then one.change = one.avg - base
      elseif one.avg and base ~= 0 then one.change = one.avg / base - 1 end
    end
  end
  for name, one in pairs(item.figures) do result[name] = one end
  return result
end

return M

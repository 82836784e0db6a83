-- Values against thresholds and earlier values: the tables of a day and a night. What is critical or missing raises: a table that
-- nobody reads must not count as well.
local arguments, sample = require "arguments", require "watch.sample"
local M = {}

-- Thresholds of a file: Lua that returns a table, or JSON or TOML.
local function from_file(path)
  local text = fs.read(path)
  if path:find "%.json$" then return json.decode(text) end
  if path:find "%.toml$" then return toml.decode(text) end
  local chunk, problem = load(text, "@" .. path)
  if not chunk then error({ kind = "argument", message = ("%s: %s"):format(path, tostring(problem)) }, 0) end
  return chunk()
end

-- A threshold as a number; a time needs its unit, and a percentage is of a share.
local function number_of(who, name, value, unit)
  local function fail(text) error({ kind = "argument", message = ("%s: %s: %s"):format(who, name, text) }, 0) end
  if type(value) == "number" then
    if (unit == "seconds" or unit == "bytes") and value ~= 0 then fail(("%g has no unit: write \"%gms\", \"%g GB\""):format(value, value, value)) end
    if unit == "ratio" and (value > 1 or value < 0) then fail(("%g is no share: write \"%g %%\" or %g"):format(value, value, value / 100)) end
    return value
  end
  local found = type(value) == "string" and values.quantity(value) or nil
  if not found then fail(("a level such as \"200ms\", \"5 %%\" or 0.05 expected, got '%s'"):format(tostring(value))) end
  if unit and found.unit ~= unit then fail(("'%s' counts in %s, and %s in %s"):format(value, found.unit, name, unit)) end
  return found.number
end

local function state_of(value, warning, critical, below)
  if value == nil then return "no data" end
  local function over(level) return level and (below and value < level or not below and value > level) end
  if over(critical) then return "critical" end
  return over(warning) and "warning" or "ok"
end

local function find(services, name)
  for _, service in ipairs(services) do
    local found = rawget(service, name)
    if sample.is(found) or type(found) == "function" then return found end
  end
end

-- Each metric of the thresholds once. Returns {rows, worst, sentence}; raises where one is critical or has no data.
function M.table(services, thresholds)
  local who = "watch.table"
  if type(thresholds) == "string" then thresholds = from_file(thresholds) end
  if type(thresholds) ~= "table" or next(thresholds) == nil then error({ kind = "argument", message = who .. ": thresholds: { p95 = { warning = \"200ms\", critical = \"500ms\" } } expected" }, 0) end
  local names, rows, parts, rank, worst = {}, {}, {}, { ok = 0, warning = 1, ["no data"] = 2, critical = 3 }, "ok"
  for name in pairs(thresholds) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local level, metric = thresholds[name], find(services, name)
    if not metric then error({ kind = "argument", message = ("%s: no service has '%s'"):format(who, name) }, 0) end
    if type(level) ~= "table" or level.warning == nil and level.critical == nil then error({ kind = "argument", message = ("%s: %s: { warning =, critical = } expected"):format(who, name) }, 0) end
    for key in pairs(level) do
      if key ~= "warning" and key ~= "critical" and key ~= "below" and key ~= "action" then arguments.unknown_option(who .. ": " .. name, 1, key, { warning = 1, critical = 1, below = 1, action = 1 }) end
    end
    local unit = type(metric) == "table" and metric.unit or nil
    local warning = level.warning ~= nil and number_of(who, name, level.warning, unit) or nil
    local critical = level.critical ~= nil and number_of(who, name, level.critical, unit) or nil
    local ok, value = pcall(metric)
    local why = not ok and (type(value) == "table" and value.message or tostring(value)) or nil
    if not ok or type(value) ~= "number" or value ~= value then value = nil end
    local state = state_of(value, warning, critical, level.below == true)
    rows[i] = { metric = name, value = value, shown = value and values.quantity_text(value, unit), warning = level.warning, critical = level.critical, state = state,
      why = state == "no data" and (why or "no number") or nil, action = state ~= "ok" and level.action or nil }
    if rank[state] > rank[worst] then worst = state end
    if state ~= "ok" then parts[#parts + 1] = ("%s %s%s"):format(name, rows[i].shown and rows[i].shown .. ", " or "", state .. (why and state == "no data" and " (" .. why .. ")" or "")) end
  end
  local sentence = #parts == 0 and ("%d metrics, all in their limits"):format(#rows) or table.concat(parts, "; ")
  if rank[worst] >= 2 then error({ kind = "watch.threshold", message = "watch.table: " .. sentence }, 0) end
  return { rows = rows, worst = worst, sentence = sentence }
end

-- { metric = { now, before, change } } for what both have; change is a part of the value before.
function M.against(now, before)
  local found = {}
  for name, value in pairs(now) do
    local old = before[name]
    if type(old) == "table" then old = old.avg or old.now end
    if type(value) == "table" then value = value.avg end
    if type(old) == "number" and type(value) == "number" then found[name] = { now = value, before = old, change = old ~= 0 and value / old - 1 or nil } end
  end
  if next(found) == nil then sample.none("empty", "nothing in the baseline can be compared with what is there now") end
  return found
end

M.from_file = from_file
return M

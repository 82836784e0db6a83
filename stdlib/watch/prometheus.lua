-- Asking Prometheus, and saying it right: an error ratio is a share and no rate, a quantile is of sum by (le) (rate(…)). What is
-- not there, old, NaN or partial is no data. All that one look wants is one query, so that it is of one instant.
local arguments, sample = require "arguments", require "watch.sample"
local M = {}

local none = sample.none

-- Seconds since 1970, with their fraction.
local function now() return time.since(time.parse "1970-01-01T00:00:00Z") end
M.now = now

-- How old an instant is: seconds since 1970, or text such as 2026-11-20T22:00:04Z; nil where it is none.
function M.age_of(at)
  if type(at) == "number" then return now() - at end
  local ok, age = pcall(function() return time.since(type(at) == "string" and time.parse(at) or at) end)
  return ok and age or nil
end

-- An address in a message: without a password, and without what stands behind a question mark.
local function shown(url) return (url:gsub("//[^/@]*@", "//***@"):gsub("%?.*$", "?…")) end
M.shown = shown

-- The address while a playbook is only described is "<prom>".
function M.check_url(who, url)
  if not url:find "^https?://." and not url:find "^<" then
    arguments.fail(who, 1, "url", ("address of Prometheus such as http://prometheus:9090/ expected, got '%s'"):format(shown(url)))
  end
  return url
end

-- What every function that asks takes of http.
M.access = { timeout = { "duration", "of one request", default = "10s" }, bearer = { "secret", "token" }, user = { "text", "basic authentication" },
  password = { "secret", "basic authentication" }, headers = { "table", "name = text or secret" }, tls = { "table", "{verify, ca, cert, key}" } }

function M.options(more)
  local all = {}
  for name, option in pairs(M.access) do all[name] = option end
  for name, option in pairs(more or {}) do all[name] = option end
  return all
end

local function request(url, path, form, o)
  local where = url:gsub("/*$", "") .. "/api/v1/" .. path
  local options = { timeout = o.timeout or 10, bearer = o.bearer, user = o.user, password = o.password, headers = o.headers, tls = o.tls, status = { 200, 400, 422, 503 } }
  local response
  if form then
    options.form, options.reads = form, true
    response = http.post(where, options)
  else response = http.get(where, options) end
  if arguments.unknown(response) then return response end
  local ok, body = pcall(json.decode, response.body)
  if not ok or type(body) ~= "table" then
    none("answer", ("%s: no answer of Prometheus: status %d, %d bytes that are no JSON object"):format(shown(where), response.status, #response.body), "is this the address of Prometheus?")
  end
  if body.status ~= "success" or type(body.data) ~= "table" then
    none("query", ("%s: %s: %s"):format(shown(where), tostring(body.errorType or "status " .. tostring(response.status)), tostring(body.error or "no data in the answer")))
  end
  for _, warning in ipairs(type(body.warnings) == "table" and body.warnings or {}) do
    if not tostring(warning):find "^PromQL " then none("partial", ("%s: the answer is not whole: %s"):format(shown(where), tostring(warning))) end
  end
  return body.data
end
M.request = request

-- A number of Prometheus' text; nil where it is NaN or infinite.
local function number(text)
  local value = tonumber(text)
  if not value or value ~= value or value == math.huge or value == -math.huge then return nil end
  return value
end

local function check_time(url, at, o)
  at = tonumber(at)
  if not at then none("answer", shown(url) .. ": an answer without a time") end
  local age = now() - at
  if math.abs(age) > o.stale then
    none("stale", ("%s: the answer is %s"):format(shown(url), age > 0 and time.text(math.floor(age)) .. " old" or time.text(math.floor(-age)) .. " ahead of this host's clock"),
      "a cache before Prometheus, or clocks that differ")
  end
end

-- One expression at one instant: a list of { metric =, value = text }.
function M.vector(url, query, o)
  local data = request(url, "query", { query = query }, o)
  if arguments.unknown(data) then return data end
  if data.resultType == "scalar" then
    check_time(url, data.result[1], o)
    return { { metric = {}, value = data.result[2] } }
  end
  if data.resultType ~= "vector" or type(data.result) ~= "table" then none("answer", ("%s: a vector expected, got %s"):format(shown(url), tostring(data.resultType))) end
  local list = {}
  for i, one in ipairs(data.result) do
    if type(one) ~= "table" or type(one.value) ~= "table" then none("answer", shown(url) .. ": a vector without values") end
    check_time(url, one.value[1], o)
    list[i] = { metric = type(one.metric) == "table" and one.metric or {}, value = one.value[2] }
  end
  return list
end

-- Several expressions, each of one value without labels, at one instant: name = number. A name is missing where there is no series,
-- or its value is no number.
function M.values(url, wanted, o)
  local names, parts = {}, {}
  for name in pairs(wanted) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = ('label_replace(%s, "runbook", "%s", "", "")'):format(wanted[name], name) end
  local list = M.vector(url, table.concat(parts, " or "), o)
  if arguments.unknown(list) then return list end
  local found = {}
  for _, one in ipairs(list) do
    local name = one.metric.runbook
    if not name or wanted[name] == nil or found[name] ~= nil then none("answer", ("%s: an answer to another question: %s"):format(shown(url), tostring(name))) end
    found[name] = number(one.value) or false
  end
  for name, value in pairs(found) do
    if value == false then found[name] = nil end
  end
  return found
end

-- The one value of an expression of the playbook's own; raises where there is none or several.
function M.single(url, query, o)
  local list = M.vector(url, query, o)
  if arguments.unknown(list) then return list end
  if #list == 0 then none("empty", ("%s: no series for %s"):format(shown(url), query)) end
  if #list > 1 then none("query", ("%s: %d series for %s"):format(shown(url), #list, query), "make one of them: sum(…), max(…)") end
  local value = number(list[1].value)
  if not value then none("empty", ("%s: %s is %s"):format(shown(url), query, tostring(list[1].value))) end
  return value
end

-- The values of an expression over a time, oldest first; raises where there are none, several, or the newest is older than a step.
function M.range(url, query, o)
  local till = now()
  local data = request(url, "query_range", { query = query, start = ("%.3f"):format(till - o.over), ["end"] = ("%.3f"):format(till), step = ("%.3f"):format(o.step) }, o)
  if arguments.unknown(data) then return data end
  if data.resultType ~= "matrix" or type(data.result) ~= "table" then none("answer", ("%s: a matrix expected, got %s"):format(shown(url), tostring(data.resultType))) end
  if #data.result == 0 then none("empty", ("%s: no series for %s"):format(shown(url), query)) end
  if #data.result > 1 then none("query", ("%s: %d series for %s"):format(shown(url), #data.result, query), "make one of them: sum(…), max(…)") end
  local list, last = {}, nil
  for _, pair in ipairs(data.result[1].values or {}) do
    local value = number(pair[2])
    if value then list[#list + 1], last = value, tonumber(pair[1]) end
  end
  if #list == 0 then none("empty", ("%s: %s has no number in %s"):format(shown(url), query, time.text(o.over))) end
  if till - last > 2 * o.step then none("stale", ("%s: the newest value of %s is %s old"):format(shown(url), query, time.text(math.floor(till - last)))) end
  return list
end

-- --- expressions ---------------------------------------------------------------------------------------------------------------------

local function quoted(text) return '"' .. text:gsub('[\\"]', "\\%0"):gsub("\n", "\\n") .. '"' end

-- {job="api",status=~"5.."}: `labels` are compared as they are, `more` are matchers.
function M.selector(metric, labels, more)
  local parts, names = {}, {}
  for name in pairs(labels) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = ("%s=%s"):format(name, quoted(tostring(labels[name]))) end
  for _, matcher in ipairs(more or {}) do parts[#parts + 1] = matcher end
  return ("%s{%s}"):format(metric, table.concat(parts, ","))
end

-- instance=~"db1(:[0-9]+)?": a host whatever the port of its exporter.
function M.of_host(host)
  if not host or host == "" then return {} end
  local escaped = host:gsub("[%.%+%*%?%(%)%[%]%{%}%^%$|\\]", "\\%0")
  return { ("instance=~%s"):format(quoted(escaped .. "(:[0-9]+)?")) }
end

-- A duration as PromQL writes it.
function M.window(seconds) return ("%dms"):format(math.floor(seconds * 1000 + 0.5)) end

-- The age of the newest scrape of a selector, in seconds.
function M.age(selector) return ("(time() - max(timestamp(%s)))"):format(selector) end

return M

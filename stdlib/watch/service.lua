-- Services as Prometheus knows them. A service is a set of metrics, each an expression over a window; its samples ask them, with
-- what proves that they are fresh.
local arguments, sample, prometheus = require "arguments", require "watch.sample", require "watch.prometheus"
local M = {}

local none = sample.none

-- Expressions of one look: those of `names` over the window, and the age of what they are made of.
local function wanted_of(service, names, window)
  local wanted = { age = prometheus.age(service.fresh) }
  for _, name in ipairs(names) do
    local metric = service.metrics[name]
    wanted[name] = metric.expression(window)
    for _, with in ipairs(metric.with or {}) do wanted[with] = wanted[with] or service.metrics[with].expression(window) end
    for key, expression in pairs(metric.beside and metric.beside(window) or {}) do wanted[key] = expression end
  end
  return wanted
end

-- Raises where there is nothing of the service, or nothing new.
local function check_fresh(service, age)
  if not age then
    none("empty", ("%s: Prometheus has no %s"):format(prometheus.shown(service.url), service.fresh), "is the job, the instance or the name of the metric another one?")
  end
  if age > service.stale then
    none("stale", ("%s: the newest %s is %s old"):format(prometheus.shown(service.url), service.fresh, time.text(math.floor(age))), "does Prometheus still scrape it?")
  end
end

-- The values at this moment.
local function ask(service, names, window)
  local found = service.values(service.url, wanted_of(service, names, prometheus.window(window or service.window)), service.options)
  if arguments.unknown(found) then return found end
  check_fresh(service, found.age)
  for _, name in ipairs(names) do
    local metric = service.metrics[name]
    if found[name] ~= nil and metric.check then found[name] = metric.check(found[name], found) end
  end
  return found
end

local function read(service, name)
  local metric = service.metrics[name]
  return function()
    local found = ask(service, { name })
    if arguments.unknown(found) then return found end
    local requests = metric.requests and found[metric.requests]
    if found[name] == nil then return { requests = requests, why = ("%s has no value: %s"):format(name, metric.absent or "no series, or NaN") } end
    if metric.unit == "boolean" then return found[name] == 1 end
    return found[name], requests
  end
end

local function numbers(service)
  local names = {}
  for name, metric in pairs(service.metrics) do
    if metric.unit ~= "boolean" and not metric.hidden then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function all(service, window)
  local names = numbers(service)
  local found = ask(service, names, window)
  if arguments.unknown(found) then return found end
  local result, any = {}, false
  for _, name in ipairs(names) do
    result[name] = found[name]
    any = any or found[name] ~= nil
  end
  if not any then none("empty", ("%s: %s has no value at all"):format(prometheus.shown(service.url), service.what)) end
  return result
end

-- The functions that each service has besides its samples.
local function functions(service)
  local members = {}
  function members.sample() return all(service) end
  function members.baseline(over)
    local ok, seconds = pcall(time.duration, over)
    if not ok or seconds <= 0 then error({ kind = "argument", message = ("%s: baseline: a time such as \"15m\" expected, got %s"):format(service.what, tostring(over)) }, 0) end
    local result = all(service, seconds)
    if not arguments.unknown(result) then result.over, result.at = time.text(seconds), time.iso(time.now()) end
    return result
  end
  -- The usual value of a metric: "p50" of the last week.
  function members.usual(quantile, o)
    o = o or {}
    local percent = type(quantile) == "string" and tonumber(quantile:match "^p(%d+%.?%d*)$")
    if not percent or percent > 100 then error({ kind = "argument", message = ("%s: usual: a quantile such as \"p50\" expected, got %s"):format(service.what, tostring(quantile)) }, 0) end
    for key in pairs(o) do
      if key ~= "of" and key ~= "over" then arguments.unknown_option(service.what .. ": usual", 2, key, { of = 1, over = 1 }) end
    end
    local name, over = o.of or service.usually, time.duration(o.over or "7d")
    local metric = service.metrics[name]
    if not metric then error({ kind = "argument", message = ("%s: usual: no metric '%s'"):format(service.what, tostring(name)) }, 0) end
    local step = math.max(1, math.min(300, over / 100))
    local inside = ("(%s)[%s:%s]"):format(metric.expression(prometheus.window(math.max(service.window, step))), prometheus.window(over), prometheus.window(step))
    local found = service.values(service.url, { usual = ("quantile_over_time(%.6g, %s)"):format(percent / 100, inside), points = ("count_over_time(%s)"):format(inside),
      age = prometheus.age(service.fresh) }, service.options)
    if arguments.unknown(found) then return found end
    check_fresh(service, found.age)
    if not found.usual or not found.points or found.points < 12 then
      none("empty", ("%s: %s has only %d values in %s: too few to say what is usual"):format(prometheus.shown(service.url), name, found.points or 0, time.text(over)))
    end
    return found.usual
  end
  -- What a time was like: { name = { min, avg, max } }.
  function members.over(duration)
    local seconds, names, wanted = time.duration(duration), numbers(service), {}
    local step = prometheus.window(math.max(1, math.min(60, seconds / 100)))
    for _, name in ipairs(names) do
      local inside = ("((%s)[%s:%s])"):format(service.metrics[name].expression(prometheus.window(service.window)), prometheus.window(seconds), step)
      for _, kind in ipairs { "min", "avg", "max" } do wanted[name .. "__" .. kind] = kind .. "_over_time" .. inside end
    end
    wanted.age = prometheus.age(service.fresh)
    local found = service.values(service.url, wanted, service.options)
    if arguments.unknown(found) then return found end
    check_fresh(service, found.age)
    local result, any = {}, false
    for _, name in ipairs(names) do
      local avg = found[name .. "__avg"]
      if avg then result[name], any = { min = found[name .. "__min"], avg = avg, max = found[name .. "__max"] }, true end
    end
    if not any then none("empty", ("%s: %s has no value in %s"):format(prometheus.shown(service.url), service.what, time.text(seconds))) end
    return result
  end
  -- Whether what is to be watched is there: every target is up, and its metrics are new. No answer is an error, and no "no".
  function members.alive()
    local found = ask(service, { service.alive })
    if arguments.unknown(found) then return found end
    if found[service.alive] == nil then none("empty", ("%s: Prometheus does not know whether %s is up"):format(prometheus.shown(service.url), service.what)) end
    return found[service.alive] == 1
  end
  return members
end

-- service: what, url, options, window, stale, fresh (a selector), metrics, alive and usually (names of metrics), values (the function that asks).
function M.new(service)
  local members = functions(service)
  for name, metric in pairs(service.metrics) do
    if not metric.hidden then members[name] = sample.new(name, metric.unit, read(service, name)) end
  end
  return sample.service(service.what, members)
end

-- Shares that are read of a histogram: the quantile, and nothing where it lies beyond the highest bucket, whose end would pass for it.
local function quantile(q, name, select)
  local function rate(window, more) return ("sum by (le) (rate(%s[%s]))"):format(select(name .. "_bucket", more), window) end
  return {
    unit = "seconds", requests = "requests", with = { "requests" }, absent = "no requests, no histogram of that name, or it lies beyond the highest bucket",
    expression = function(window) return ("histogram_quantile(%g, %s)"):format(q, rate(window)) end,
    beside = function(window)
      return { ["beyond_" .. name] = ("(1 - max(%s) / sum(rate(%s[%s])))"):format(rate(window, 'le!="+Inf"'), select(name .. "_bucket", 'le="+Inf"'), window) }
    end,
    check = function(value, found)
      local beyond = found["beyond_" .. name]
      if beyond == nil or beyond > 1 - q then return nil end
      return value
    end,
  }
end

local function average(name, select, requests)
  return { unit = "seconds", requests = requests, with = { requests }, absent = "no requests, or no histogram of that name",
    expression = function(window) return ("(sum(rate(%s[%s])) / sum(rate(%s[%s])))"):format(select(name .. "_sum"), window, select(name .. "_count"), window) end }
end

M.http_options = prometheus.options {
  job = { "text", "label job", required = true }, labels = { "table", "further labels: { env = \"prod\" }" },
  requests = { "word", "counter of requests", default = "http_requests_total" }, status = { "word", "its label with the status", default = "status" },
  errors = { "text", "statuses that are errors, a pattern", default = "5.." },
  duration = { "word", "histogram of the requests' seconds", default = "http_request_duration_seconds" },
  queries = { "word", "histogram of the database queries' seconds", default = "database_query_duration_seconds" },
  pool_size = { "word", "gauge of the pool's connections", default = "database_pool_size" },
  pool_available = { "word", "gauge of the free ones of them", default = "database_pool_available" },
  window = { "duration", "what one look is about; at least two scrapes, at most `sustained`", default = "2m" },
  stale = { "duration", "metrics that are older are no data", default = "2m" },
}

function M.http(url, o, values)
  local labels = { job = o.job }
  for name, value in pairs(o.labels or {}) do labels[name] = value end
  local function select(metric, ...) return prometheus.selector(metric, labels, { ... }) end
  local with_status, failed = ('%s=~".+"'):format(o.status), ('%s=~"%s"'):format(o.status, (o.errors:gsub('[\\"]', "\\%0")))
  local function rate(window, ...) return ("sum(rate(%s[%s]))"):format(select(o.requests, ...), window) end
  local metrics = {
    requests = { unit = "count", expression = function(window) return ("sum(increase(%s[%s]))"):format(select(o.requests), window) end },
    requests_per_s = { unit = "per_second", expression = function(window) return rate(window) end },
    -- No failed request yet is no series, and a share of 0. Where the label is another one there is nothing to divide by.
    error_ratio = { unit = "ratio", requests = "requests", with = { "requests" }, absent = "no requests, or the label of the status is another one",
      expression = function(window) return ("((%s or vector(0)) / %s)"):format(rate(window, failed), rate(window, with_status)) end },
    errors_per_s = { unit = "per_second", expression = function(window) return ("((%s or vector(0)) + 0 * %s)"):format(rate(window, failed), rate(window, with_status)) end },
    p50 = quantile(0.5, o.duration, select), p90 = quantile(0.9, o.duration, select), p95 = quantile(0.95, o.duration, select), p99 = quantile(0.99, o.duration, select),
    avg = average(o.duration, select, "requests"),
    queries = { hidden = true, unit = "count", expression = function(window) return ("sum(increase(%s[%s]))"):format(select(o.queries .. "_count"), window) end },
    query_avg = average(o.queries, select, "queries"), query_p95 = quantile(0.95, o.queries, select),
    pool_size = { unit = "count", expression = function() return ("sum(%s)"):format(select(o.pool_size)) end },
    pool_used = { unit = "ratio", expression = function() return ("max(1 - %s / %s)"):format(select(o.pool_available), select(o.pool_size)) end },
    uptime = { unit = "ratio", expression = function(window) return ("avg(avg_over_time(%s[%s]))"):format(select "up", window) end },
    up = { unit = "boolean", expression = function() return ("min(%s)"):format(select "up") end },
  }
  metrics.query_p95.requests, metrics.query_p95.with = "queries", { "queries" }
  return M.new { what = ('watch.http_service (job "%s")'):format(o.job), url = url, options = o, window = o.window, stale = o.stale, fresh = select(o.requests),
    metrics = metrics, alive = "up", usually = "requests_per_s", values = values }
end

-- What an exporter of a host says: node_exporter's metrics, those of the fullest file system and the busiest host where there are several.
function M.host_metrics(host)
  local of = prometheus.of_host(host)
  local function select(metric, ...)
    local more = { ... }
    for _, matcher in ipairs(of) do more[#more + 1] = matcher end
    return prometheus.selector(metric, {}, more)
  end
  local real = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*|nsfs|devtmpfs"'
  return {
    cpu_used = { unit = "ratio", expression = function(window) return ('max(1 - avg by (instance) (rate(%s[%s])))'):format(select("node_cpu_seconds_total", 'mode="idle"'), window) end },
    memory_used = { unit = "ratio", expression = function() return ("max(1 - %s / %s)"):format(select "node_memory_MemAvailable_bytes", select "node_memory_MemTotal_bytes") end },
    disk_used = { unit = "ratio", expression = function() return ("max(1 - %s / %s)"):format(select("node_filesystem_avail_bytes", real), select("node_filesystem_size_bytes", real)) end },
    load_per_cpu = { unit = "count",
      expression = function() return ('max(sum by (instance) (%s) / count by (instance) (%s))'):format(select "node_load5", select("node_cpu_seconds_total", 'mode="idle"')) end },
  }, select
end

M.exporter_options = prometheus.options {
  instance = { "text", "host, as in the label instance; its port may differ" },
  window = { "duration", "what one look is about; at least two scrapes", default = "2m" }, stale = { "duration", "metrics that are older are no data", default = "2m" },
}

local function exporter(what, url, o, values, metrics, fresh, alive, usually)
  return M.new { what = what .. (o.instance and (' (instance "%s")'):format(o.instance) or ""), url = url, options = o, window = o.window or 120, stale = o.stale or 120,
    fresh = fresh, metrics = metrics, alive = alive, usually = usually, values = values }
end

function M.host(url, o, values)
  local metrics, select = M.host_metrics(o.instance)
  metrics.up = { unit = "boolean", hidden = true, expression = function() return ("(max(%s) * 0 + 1)"):format(select "node_load5") end }
  return exporter("watch.system", url, o, values, metrics, select "node_load5", "up", "cpu_used")
end

-- mysqld_exporter, and node_exporter beside it.
function M.mysql(url, o, values)
  local metrics, select = M.host_metrics(o.instance)
  local function status(name) return select("mysql_global_status_" .. name) end
  metrics.reachable = { unit = "boolean", expression = function() return ("min(%s)"):format(select "mysql_up") end }
  metrics.connections = { unit = "count", expression = function() return ("sum(%s)"):format(status "threads_connected") end }
  metrics.pool_size = { unit = "count", expression = function() return ("sum(%s)"):format(select "mysql_global_variables_max_connections") end }
  metrics.pool_used = { unit = "ratio", expression = function() return ("max(%s / %s)"):format(status "threads_connected", select "mysql_global_variables_max_connections") end }
  metrics.queries_per_s = { unit = "per_second", expression = function(window) return ("sum(rate(%s[%s]))"):format(status "queries", window) end }
  metrics.replica_lag = { unit = "seconds", absent = "no replica, or its replication has stopped",
    expression = function() return ("max(%s or %s)"):format(select "mysql_slave_status_seconds_behind_master", select "mysql_slave_status_seconds_behind_source") end }
  local service = exporter("watch.mysql", url, o, values, metrics, select "mysql_up", "reachable", "queries_per_s")
  local state, made = sample.states(), {}
  -- Statements that took longer than `seconds`, since the last look: what the server counts, so its long_query_time must be as low.
  rawset(service, "slow", function(seconds)
    local limit = time.duration(seconds)
    made[limit] = made[limit] or sample.new(("slow(%s)"):format(tostring(seconds)), "count", function(who)
      local found = values(url, { slow = ("sum(%s)"):format(status "slow_queries"), limit = ("max(%s)"):format(select "mysql_global_variables_long_query_time"),
        age = prometheus.age(status "slow_queries") }, o)
      if arguments.unknown(found) then return found end
      if not found.slow or not found.limit then none("empty", ("%s: Prometheus has no %s"):format(prometheus.shown(url), status "slow_queries")) end
      if (found.age or math.huge) > (o.stale or 120) then none("stale", ("%s: the newest %s is too old"):format(prometheus.shown(url), status "slow_queries")) end
      if found.limit > limit then
        none("unsupported", ("the server counts as slow what takes more than %gs, not %gs"):format(found.limit, limit), ("set global long_query_time = %g"):format(limit))
      end
      return sample.difference(state(who), limit, found.slow) or 0
    end)
    return made[limit]
  end)
  return service
end

-- postgres_exporter, and node_exporter beside it.
function M.postgres(url, o, values)
  local metrics, select = M.host_metrics(o.instance)
  metrics.reachable = { unit = "boolean", expression = function() return ("min(%s)"):format(select "pg_up") end }
  metrics.connections = { unit = "count", expression = function() return ("sum(%s)"):format(select "pg_stat_activity_count") end }
  metrics.pool_size = { unit = "count", expression = function() return ("sum(%s)"):format(select "pg_settings_max_connections") end }
  metrics.pool_used = { unit = "ratio",
    expression = function() return ("max(sum by (instance) (%s) / max by (instance) (%s))"):format(select "pg_stat_activity_count", select "pg_settings_max_connections") end }
  metrics.replica_lag = { unit = "seconds", expression = function() return ("max(%s or %s)"):format(select "pg_replication_lag_seconds", select "pg_replication_lag") end }
  metrics.size = { unit = "bytes", expression = function() return ("sum(%s)"):format(select "pg_database_size_bytes") end }
  metrics.transactions_per_s = { unit = "per_second", expression = function(window) return ("sum(rate(%s[%s]))"):format(select "pg_stat_database_xact_commit", window) end }
  return exporter("watch.postgres", url, o, values, metrics, select "pg_up", "reachable", "transactions_per_s")
end

return M

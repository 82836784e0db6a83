-- Metrics: samples for monitors, checkpoints and probes.
--   local watch = require "watch"
--   local web = watch.http_service(p.prom, { job = "api" })
--   monitor "first hour" { …, { web.error_ratio, above = "1 %", requests = 200, sustained = "2m", verdict = rollback "errors" } }
-- A sample is called like a function, says what it counts in, and returns a number or raises: what is not there, too old, or no
-- number is never a value. Asking Prometheus: watch.prometheus, its services: watch.service; a database: watch.database; this
-- host and logs: watch.host; tables of values: watch.judged.
local arguments, declare = require "arguments", require "declare"
local sample, prometheus, service, database = require "watch.sample", require "watch.prometheus", require "watch.service", require "watch.database"
local host, judged = require "watch.host", require "watch.judged"
local M, def = declare.module("watch", "Metrics for monitors, checkpoints and probes: Prometheus, HTTP, SQL, this host, logs.",
  'needs = { http = { "prom" } }; files for logs and disks of this host; for unit_log() "sudo -n journalctl"')

local url_of, units = { "url", "text", "Prometheus, such as http://prometheus:9090/" }, { seconds = 1, ratio = 1, bytes = 1, per_second = 1, count = 1, boolean = 1 }
local errors = { "watch.empty", "watch.stale", "watch.query", "watch.partial", "watch.answer", "http.connection", "http.timeout", "http.status", "http.tls", "permission" }
local unit_of = { "text", "what it counts in: seconds, ratio, bytes, per_second or count" }

-- A sample of the playbook's own has to say its unit: 500 may be milliseconds or seconds.
local function check_unit(who, number, o, more)
  if o.unit == nil then arguments.fail(who, number, "options", "option 'unit' is required: seconds, ratio, bytes, per_second or count") end
  if not units[o.unit] or o.unit == "boolean" and not more then
    arguments.fail(who, number, "options", ("option 'unit': seconds, ratio, bytes, per_second or count expected, got '%s'"):format(o.unit))
  end
end

-- Asked through the module, so that a test can fake it.
local function values(url, wanted, o) return M.values(url, wanted, { timeout = o.timeout, bearer = o.bearer, user = o.user, password = o.password, headers = o.headers, tls = o.tls }) end

def "values" { doc = "Several expressions of PromQL at one instant, in one request. What the samples of a service ask with; a test fakes it.",
  url_of, { "wanted", "table", "name = expression, each of one value without labels: sum(…), max(…)" }, { "options", prometheus.options { stale = { "duration", "an answer that is older is none", default = "2m" } }, "how to ask" },
  returns = { "table", "name = number; a name is missing where there is no series, or no number" }, raises = errors, reads = true,
  example = [[local jobs = watch.values("http://prometheus:9090/", { up = "sum(up)" }).up]],
  run = function(url, wanted, o) return prometheus.values(prometheus.check_url("watch.values", url), wanted, o) end }

def "prometheus" { doc = "A sample of one expression of PromQL. It has to give one series; none, several, NaN and an old answer are no data.",
  url_of, { "query", "text", "PromQL" }, { "options", prometheus.options { unit = unit_of, requests = { "text", "PromQL of the number of requests behind it" },
    fresh = { "text", "a selector: where its newest scrape is older than `stale`, there is no data" }, stale = { "duration", "an answer or a scrape that is older is no data", default = "2m" } }, "what it is" },
  returns = { "sample", "for a rule; called, it returns the value, and the requests" }, raises = { "argument" },
  example = [[local waiting = watch.prometheus("http://prometheus:9090/", 'sum(jobs_waiting{queue="mail"})', { unit = "count" })]],
  run = function(url, query, o)
    check_unit("watch.prometheus", 3, o)
    prometheus.check_url("watch.prometheus", url)
    return sample.new("query", o.unit, function()
      if o.fresh then
        local age = prometheus.single(url, prometheus.age(o.fresh), o)
        if arguments.unknown(age) then return age end
        if age > o.stale then sample.none("stale", ("%s: the newest %s is %s old"):format(prometheus.shown(url), o.fresh, time.text(math.floor(age)))) end
      end
      local requests
      if o.requests then requests = prometheus.single(url, o.requests, o) end
      return prometheus.single(url, query, o), requests
    end)
  end }

def "range" { doc = "A sample of one expression of PromQL over a time: the highest, lowest, last or mean value of it.",
  url_of, { "query", "text", "PromQL of one series" }, { "options", prometheus.options { unit = unit_of, over = { "duration", "how far back", default = "1h" }, step = { "duration", "between two values", default = "1m" },
    pick = { "text", "max, min, avg or last", default = "max" }, stale = { "duration", "not used: two steps are too old", default = "2m" } }, "what it is" },
  returns = { "sample", "for a rule, or to call" }, raises = { "argument" },
  example = [[local peak = watch.range("http://prometheus:9090/", "sum(jobs_waiting)", { unit = "count", over = "1h", pick = "max" })]],
  run = function(url, query, o)
    check_unit("watch.range", 3, o)
    prometheus.check_url("watch.range", url)
    if o.pick ~= "max" and o.pick ~= "min" and o.pick ~= "avg" and o.pick ~= "last" then
      arguments.fail("watch.range", 3, "options", ("option 'pick': max, min, avg or last expected, got '%s'"):format(o.pick))
    end
    return sample.new("range", o.unit, function()
      local list = prometheus.range(url, query, o)
      if arguments.unknown(list) or o.pick == "last" then return arguments.unknown(list) and list or list[#list] end
      local found, sum = list[1], 0
      for _, value in ipairs(list) do
        if o.pick ~= "avg" then found = math[o.pick](found, value) end
        sum = sum + value
      end
      return o.pick == "avg" and sum / #list or found
    end)
  end }

def "http_service" { doc = "The requests of a service, as its own metrics in Prometheus tell them. Samples: error_ratio, p50, p90, p95, p99, avg, requests_per_s, errors_per_s, requests, query_avg, query_p95, pool_size, pool_used, uptime, up. Functions: sample(), baseline(over), usual(quantile, { of, over }), over(duration), alive().",
  url_of, { "options", service.http_options, "which service, and what its metrics are called" }, returns = { "table", "samples and functions" }, raises = { "argument" },
  example = [[local web = watch.http_service("http://prometheus:9090/", { job = "api" })]],
  run = function(url, o) return service.http(prometheus.check_url("watch.http_service", url), o, values) end }

local exporter_options = service.exporter_options
exporter_options.replicas = database.options.replicas

-- A server by its connection, or by what an exporter tells Prometheus.
local function server(which)
  return function(source, o)
    local who = "watch." .. which
    if type(source) == "string" then return service[which](prometheus.check_url(who, source), o, values) end
    if type(source) ~= "userdata" and type(source) ~= "table" then arguments.fail(who, 1, "source", "a connection, or the address of Prometheus, expected, got " .. type(source)) end
    return database.new(which, source, o)
  end
end
local source_of = { "source", "any", "a connection, or the address of Prometheus" }

def "postgres" { doc = "A PostgreSQL server. By a connection: connections, pool_size, pool_used, longest_lock_wait, blocked, replica_lag, size, disk_used, query_time, reachable, running(limit), slowest(n), tables(). By Prometheus (postgres_exporter, node_exporter): connections, pool_size, pool_used, replica_lag, size, transactions_per_s, reachable, disk_used, cpu_used, memory_used. Both: sample(), alive(), baseline(over).",
  source_of, { "options", exporter_options, "which one, and how to ask" }, returns = { "table", "samples and functions" }, raises = { "argument" }, example = [[local pg = watch.postgres(p.prod)]], run = server "postgres" }

def "mysql" { doc = "A MySQL or MariaDB server. By a connection: connections, pool_size, pool_used, longest_lock_wait, blocked, replica_lag, size, disk_used, query_time, reachable, running(limit), slow(limit), slowest(n), tables(). By Prometheus (mysqld_exporter, node_exporter): connections, pool_size, pool_used, replica_lag, queries_per_s, slow(limit), reachable, disk_used, cpu_used, memory_used. Both: sample(), alive(), baseline(over).",
  source_of, { "options", exporter_options, "which one, and how to ask" }, returns = { "table", "samples and functions" }, raises = { "argument" },
  example = [[local mysql = watch.mysql("http://prometheus:9090/", { instance = "db1" })]], run = server "mysql" }

def "system" { doc = "Processors, memory, disk and load: of this host, or with the address of Prometheus of another one (node_exporter). Samples: cpu_used, memory_used, disk_used, load_per_cpu; of this host also memory_available, disk_free, load.",
  { "url", "text?", "Prometheus; this host where it is left out" }, { "options", prometheus.options { instance = service.exporter_options.instance, window = service.exporter_options.window,
    stale = service.exporter_options.stale, disk = { "text", "of this host: a path on the file system; it stands in needs.files", default = "/" } }, "which one" },
  returns = { "table", "samples and functions" }, raises = { "argument" }, example = [[local here = watch.system()]],
  run = function(url, o)
    if url == nil then return host.new(o) end
    return service.host(prometheus.check_url("watch.system", url), o, values)
  end }

local function member(value, path)
  for key in path:gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    value = value[tonumber(key) or key]
  end
  if value == null then return nil end
  return value
end

def "json" { doc = "A sample of what an address answers in JSON.",
  { "url", "text", "address; its host stands in needs.http" }, { "path", "text", "where the value stands: database.pool.used, items.1.state" },
  { "options", prometheus.options { unit = { "text", "what it counts in: seconds, ratio, bytes, per_second or count; boolean for true and false" }, requests = { "text", "path of the number of requests behind it" },
    at = { "text", "path of the time that it is of" }, stale = { "duration", "a value that is older is no data", default = "2m" } }, "what it is" },
  returns = { "sample", "for a rule, or to call" }, raises = { "argument" },
  example = [[local used = watch.json("https://api.example.com/health", "database.pool.used", { unit = "ratio" })]],
  run = function(url, path, o)
    check_unit("watch.json", 3, o, true)
    local name = path:match "([^.]+)$" or "json"
    return sample.new(name, o.unit, function()
      local body = http.json(url, { timeout = o.timeout, bearer = o.bearer, user = o.user, password = o.password, headers = o.headers, tls = o.tls })
      if arguments.unknown(body) and body ~= null then return body end
      local value = member(body, path)
      if value == nil then sample.none("empty", ("%s: nothing at %s"):format(prometheus.shown(url), path)) end
      if type(value) ~= (o.unit == "boolean" and "boolean" or "number") then sample.none("answer", ("%s: %s is no %s"):format(prometheus.shown(url), path, o.unit == "boolean" and "truth value" or "number")) end
      if o.at then
        local age = prometheus.age_of(member(body, o.at))
        if not age then sample.none("answer", ("%s: no time at %s"):format(prometheus.shown(url), o.at)) end
        if age > o.stale then sample.none("stale", ("%s: %s is %s old"):format(prometheus.shown(url), path, time.text(math.floor(age)))) end
      end
      local requests
      if o.requests then
        requests = member(body, o.requests)
        if type(requests) ~= "number" then sample.none("answer", ("%s: %s is no number"):format(prometheus.shown(url), o.requests)) end
      end
      return value, requests
    end)
  end }

def "sql" { doc = "A sample of one value that a statement reads, in a session of its own.",
  { "connection", "any", "a connection" }, { "statement", "text", "SQL of one row and one column" }, { "options", { unit = { "text", "what it counts in: seconds, ratio, bytes, per_second or count; boolean for true and false" },
    params = { "list", "values for ?" } }, "what it is" },
  returns = { "sample", "for a rule, or to call" }, raises = { "argument" }, example = [[local waiting = watch.sql(p.prod, "select count(*) from jobs where done_at is null", { unit = "count" })]],
  run = function(connection, statement, o)
    check_unit("watch.sql", 3, o, true)
    if type(connection) ~= "userdata" and type(connection) ~= "table" then arguments.fail("watch.sql", 1, "connection", "connection expected, got " .. type(connection)) end
    return database.single(connection, statement, o)
  end }

local lines = { matching = { "any", "a text or a list of them: a line counts that contains one; every line where it is left out" } }

def "log" { doc = "A sample that counts the lines that were added to a log file since the last look. The first look only marks where it begins. A file that is renamed to NAME.1 is read to its end.",
  { "path", "text", "file; it stands in needs.files" }, { "options", { matching = lines.matching, but = { "any", "a text or a list of them: a line that contains one does not count" } }, "which lines" },
  returns = { "sample", "for a rule, with over = \"5m\" where their sum in a time matters" }, raises = { "argument" },
  example = [[local errors = watch.log("/var/log/app.log", { matching = { "ERROR", "FATAL" } })]], run = function(path, o) return host.log(path, o) end }

def "unit_log" { doc = "The same of what a unit of systemd logs.",
  { "unit", "word", "as systemctl status takes it" }, { "options", { matching = lines.matching, sudo = { "boolean", "through sudo -n", default = true }, user = { "boolean", "of the user's own manager", default = false } }, "which lines" },
  returns = { "sample", "for a rule" }, raises = { "argument" }, example = [[local errors = watch.unit_log("app", { matching = "ERROR" })]], run = function(unit, o) return host.unit_log(unit, o) end }

-- What the rules of Prometheus say. Rules that are not there, or cannot be evaluated, would never fire.
def "firing" { doc = "How many alerts of Prometheus fire. Raises where it has no alerting rule (of that severity), or one that it cannot evaluate: they would never fire.",
  url_of, { "severity", "text?", "only those with this label severity" }, { "options", prometheus.options { stale = { "duration", "rules that were not evaluated for so long are no answer", default = "5m" } }, "how to ask" },
  returns = { "number", "how many" }, raises = errors, reads = true, example = [[local clear = watch.firing("http://prometheus:9090/", "critical") == 0]],
  run = function(url, severity, o)
    local data = prometheus.request(prometheus.check_url("watch.firing", url), "rules?type=alert", nil, o)
    if arguments.unknown(data) then return data end
    local rules, count = 0, 0
    for _, group in ipairs(type(data.groups) == "table" and data.groups or {}) do
      for _, rule in ipairs(type(group.rules) == "table" and group.rules or {}) do
        local own = type(rule.labels) == "table" and rule.labels.severity or nil
        if rule.type == "alerting" and (severity == nil or own == severity) then
          rules = rules + 1
          if rule.health ~= "ok" then
            sample.none("query", ("%s: the rule '%s' cannot be evaluated (%s)"):format(prometheus.shown(url), tostring(rule.name), tostring(rule.lastError or rule.health)))
          end
          local age = prometheus.age_of(rule.lastEvaluation)
          if not age or age > o.stale then sample.none("stale", ("%s: the rule '%s' was last evaluated %s ago"):format(prometheus.shown(url), tostring(rule.name), age and time.text(math.floor(age)) or "nobody knows when")) end
          for _, alert in ipairs(type(rule.alerts) == "table" and rule.alerts or {}) do
            if alert.state == "firing" then count = count + 1 end
          end
        end
      end
    end
    if rules == 0 then sample.none("empty", ("%s: no alerting rule%s: nothing could fire"):format(prometheus.shown(url), severity and (" with severity %s"):format(severity) or "")) end
    return count
  end }

local services_of = { "service", "table", "from watch.http_service, watch.mysql, watch.postgres or watch.system" }

def "compare" { doc = "What a service is like now beside a baseline of its own: over the same time, each metric that both have.",
  services_of, { "before", "table", "what baseline(over) returned" }, returns = { "table", "metric = { now, before, change }; change is a part of the value before" }, raises = errors, reads = true,
  example = [[local changes = watch.compare(watch.http_service("http://prometheus:9090/", { job = "api" }), { p95 = 0.1, over = "24h" })]],
  run = function(one, before) return judged.against(one.baseline(before.over or "1h"), before) end }

-- Services, and what stands behind them.
local function apart(who, ...)
  local list, last = {}, nil
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "table" and type(rawget(value, "baseline")) == "function" then list[#list + 1] = value
    elseif i == select("#", ...) then last = value
    else arguments.fail(who, i, "...", "a service expected, got " .. type(value)) end
  end
  if #list == 0 then arguments.fail(who, 1, "...", "a service expected, got " .. type((...))) end
  return list, last
end

def "table" { doc = "Services against thresholds, each metric once: p95 = { warning = \"200ms\", critical = \"500ms\", action = \"look at slow queries\" }; below = true where less is worse. Raises where one is critical or has no data.",
  { "...", "any", "services, then the thresholds: a table, or the name of a file (Lua that returns it, JSON, TOML) that stands in needs.files" },
  returns = { "table", "{rows, worst, sentence}; a row is {metric, value, shown, warning, critical, state, action}" }, raises = { "watch.threshold", "argument", "fs", "permission" }, reads = true,
  example = [[local now = watch.table(watch.system(), { cpu_used = { warning = "80 %", critical = "90 %" } })]],
  run = function(...) return judged.table(apart("watch.table", ...)) end }

local function whole(who, duration, ...)
  local list, o = apart(who, ...)
  o = o or {}
  if type(o) ~= "table" then arguments.fail(who, select("#", ...), "...", "a service or a table of options expected, got " .. type(o)) end
  for key in pairs(o) do
    if key ~= "against" then arguments.unknown_option(who, select("#", ...), key, { against = 1 }) end
  end
  local result = { over = duration, at = time.iso(time.now()) }
  for _, one in ipairs(list) do
    for name, value in pairs(rawget(one, "over") and one.over(duration) or one.sample()) do
      if result[name] == nil then result[name] = value end
    end
  end
  if o.against then result.against = judged.against(result, type(o.against) == "string" and judged.from_file(o.against) or o.against) end
  return result
end

def "day" { doc = "What the last 24 hours of services were like.", { "...", "any", "services, then { against = a baseline, or the name of its file (JSON), which stands in needs.files }" },
  returns = { "table", "metric = { min, avg, max }, and against = { metric = { now, before, change } }" }, raises = errors, reads = true,
  example = [[local day = watch.day(watch.http_service("http://prometheus:9090/", { job = "api" }))]], run = function(...) return whole("watch.day", "24h", ...) end }

def "night" { doc = "What the last 12 hours of services were like.", { "...", "any", "services, then { against = a baseline, or the name of its file }" },
  returns = { "table", "as from watch.day" }, raises = errors, reads = true,
  example = [[local night = watch.night(watch.http_service("http://prometheus:9090/", { job = "api" }))]], run = function(...) return whole("watch.night", "12h", ...) end }

return M

---@meta watch
-- Generated from the declarations in stdlib/.

---Metrics for monitors, checkpoints and probes: Prometheus, HTTP, SQL, this host, logs. In a playbook: `local watch = require "watch"`, and `needs = { http = { "prom" } }`; files for logs and disks of this host; for unit_log() "sudo -n journalctl".
---@class watchlib
local watch = {}

---@class watch.values.options
---@field bearer? string|secret token
---@field headers? table name = text or secret
---@field password? string|secret basic authentication
---@field stale? string|number an answer that is older is none (2m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field user? string basic authentication

---Several expressions of PromQL at one instant, in one request. What the samples of a service ask with; a test fakes it.
---@param url string Prometheus, such as http://prometheus:9090/
---@param wanted table name = expression, each of one value without labels: sum(…), max(…)
---@param options? watch.values.options how to ask
---@return table name = number; a name is missing where there is no series, or no number
function watch.values(url, wanted, options) end

---@class watch.prometheus.options
---@field bearer? string|secret token
---@field fresh? string a selector: where its newest scrape is older than `stale`, there is no data
---@field headers? table name = text or secret
---@field password? string|secret basic authentication
---@field requests? string PromQL of the number of requests behind it
---@field stale? string|number an answer or a scrape that is older is no data (2m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field unit? string what it counts in: seconds, ratio, bytes, per_second or count
---@field user? string basic authentication

---A sample of one expression of PromQL. It has to give one series; none, several, NaN and an old answer are no data.
---@param url string Prometheus, such as http://prometheus:9090/
---@param query string PromQL
---@param options? watch.prometheus.options what it is
---@return sample for a rule; called, it returns the value, and the requests
function watch.prometheus(url, query, options) end

---@class watch.range.options
---@field bearer? string|secret token
---@field headers? table name = text or secret
---@field over? string|number how far back (1h)
---@field password? string|secret basic authentication
---@field pick? string max, min, avg or last (max)
---@field stale? string|number not used: two steps are too old (2m)
---@field step? string|number between two values (1m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field unit? string what it counts in: seconds, ratio, bytes, per_second or count
---@field user? string basic authentication

---A sample of one expression of PromQL over a time: the highest, lowest, last or mean value of it.
---@param url string Prometheus, such as http://prometheus:9090/
---@param query string PromQL of one series
---@param options? watch.range.options what it is
---@return sample for a rule, or to call
function watch.range(url, query, options) end

---@class watch.http_service.options
---@field bearer? string|secret token
---@field duration? string histogram of the requests' seconds (http_request_duration_seconds)
---@field errors? string statuses that are errors, a pattern (5..)
---@field headers? table name = text or secret
---@field job string label job
---@field labels? table further labels: { env = "prod" }
---@field password? string|secret basic authentication
---@field pool_available? string gauge of the free ones of them (database_pool_available)
---@field pool_size? string gauge of the pool's connections (database_pool_size)
---@field queries? string histogram of the database queries' seconds (database_query_duration_seconds)
---@field requests? string counter of requests (http_requests_total)
---@field stale? string|number metrics that are older are no data (2m)
---@field status? string its label with the status (status)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field user? string basic authentication
---@field window? string|number what one look is about; at least two scrapes, at most `sustained` (2m)

---The requests of a service, as its own metrics in Prometheus tell them. Samples: error_ratio, p50, p90, p95, p99, avg, requests_per_s, errors_per_s, requests, query_avg, query_p95, pool_size, pool_used, uptime, up. Functions: sample(), baseline(over), usual(quantile, { of, over }), over(duration), alive().
---@param url string Prometheus, such as http://prometheus:9090/
---@param options watch.http_service.options which service, and what its metrics are called
---@return table samples and functions
function watch.http_service(url, options) end

---@class watch.postgres.options
---@field bearer? string|secret token
---@field headers? table name = text or secret
---@field instance? string host, as in the label instance; its port may differ
---@field password? string|secret basic authentication
---@field replicas? integer how many replicas must be connected, for replica_lag (1)
---@field stale? string|number metrics that are older are no data (2m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field user? string basic authentication
---@field window? string|number what one look is about; at least two scrapes (2m)

---A PostgreSQL server. By a connection: connections, pool_size, pool_used, longest_lock_wait, blocked, replica_lag, size, disk_used, query_time, reachable, running(limit), slowest(n), tables(). By Prometheus (postgres_exporter, node_exporter): connections, pool_size, pool_used, replica_lag, size, transactions_per_s, reachable, disk_used, cpu_used, memory_used. Both: sample(), alive(), baseline(over).
---@param source any a connection, or the address of Prometheus
---@param options? watch.postgres.options which one, and how to ask
---@return table samples and functions
function watch.postgres(source, options) end

---@class watch.mysql.options
---@field bearer? string|secret token
---@field headers? table name = text or secret
---@field instance? string host, as in the label instance; its port may differ
---@field password? string|secret basic authentication
---@field replicas? integer how many replicas must be connected, for replica_lag (1)
---@field stale? string|number metrics that are older are no data (2m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field user? string basic authentication
---@field window? string|number what one look is about; at least two scrapes (2m)

---A MySQL or MariaDB server. By a connection: connections, pool_size, pool_used, longest_lock_wait, blocked, replica_lag, size, disk_used, query_time, reachable, running(limit), slow(limit), slowest(n), tables(). By Prometheus (mysqld_exporter, node_exporter): connections, pool_size, pool_used, replica_lag, queries_per_s, slow(limit), reachable, disk_used, cpu_used, memory_used. Both: sample(), alive(), baseline(over).
---@param source any a connection, or the address of Prometheus
---@param options? watch.mysql.options which one, and how to ask
---@return table samples and functions
function watch.mysql(source, options) end

---@class watch.system.options
---@field bearer? string|secret token
---@field disk? string of this host: a path on the file system; it stands in needs.files (/)
---@field headers? table name = text or secret
---@field instance? string host, as in the label instance; its port may differ
---@field password? string|secret basic authentication
---@field stale? string|number metrics that are older are no data (2m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field user? string basic authentication
---@field window? string|number what one look is about; at least two scrapes (2m)

---Processors, memory, disk and load: of this host, or with the address of Prometheus of another one (node_exporter). Samples: cpu_used, memory_used, disk_used, load_per_cpu; of this host also memory_available, disk_free, load.
---@param url? string Prometheus; this host where it is left out
---@param options? watch.system.options which one
---@return table samples and functions
function watch.system(url, options) end

---@class watch.json.options
---@field at? string path of the time that it is of
---@field bearer? string|secret token
---@field headers? table name = text or secret
---@field password? string|secret basic authentication
---@field requests? string path of the number of requests behind it
---@field stale? string|number a value that is older is no data (2m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field unit? string what it counts in: seconds, ratio, bytes, per_second or count; boolean for true and false
---@field user? string basic authentication

---A sample of what an address answers in JSON.
---@param url string address; its host stands in needs.http
---@param path string where the value stands: database.pool.used, items.1.state
---@param options? watch.json.options what it is
---@return sample for a rule, or to call
function watch.json(url, path, options) end

---@class watch.sql.options
---@field params? any[] values for ?
---@field unit? string what it counts in: seconds, ratio, bytes, per_second or count; boolean for true and false

---A sample of one value that a statement reads, in a session of its own.
---@param connection any a connection
---@param statement string SQL of one row and one column
---@param options? watch.sql.options what it is
---@return sample for a rule, or to call
function watch.sql(connection, statement, options) end

---@class watch.log.options
---@field but? any a text or a list of them: a line that contains one does not count
---@field matching? any a text or a list of them: a line counts that contains one; every line where it is left out

---A sample that counts the lines that were added to a log file since the last look. The first look only marks where it begins. A file that is renamed to NAME.1 is read to its end.
---@param path string file; it stands in needs.files
---@param options? watch.log.options which lines
---@return sample for a rule, with over = "5m" where their sum in a time matters
function watch.log(path, options) end

---@class watch.unit_log.options
---@field matching? any a text or a list of them: a line counts that contains one; every line where it is left out
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager (false)

---The same of what a unit of systemd logs.
---@param unit string as systemctl status takes it
---@param options? watch.unit_log.options which lines
---@return sample for a rule
function watch.unit_log(unit, options) end

---@class watch.firing.options
---@field bearer? string|secret token
---@field headers? table name = text or secret
---@field password? string|secret basic authentication
---@field stale? string|number rules that were not evaluated for so long are no answer (5m)
---@field timeout? string|number of one request (10s)
---@field tls? table {verify, ca, cert, key}
---@field user? string basic authentication

---How many alerts of Prometheus fire. Raises where it has no alerting rule (of that severity), or one that it cannot evaluate: they would never fire.
---@param url string Prometheus, such as http://prometheus:9090/
---@param severity? string only those with this label severity
---@param options? watch.firing.options how to ask
---@return number how many
function watch.firing(url, severity, options) end

---What a service is like now beside a baseline of its own: over the same time, each metric that both have.
---@param service table from watch.http_service, watch.mysql, watch.postgres or watch.system
---@param before table what baseline(over) returned
---@return table metric = { now, before, change }; change is a part of the value before
function watch.compare(service, before) end

---Services against thresholds, each metric once: p95 = { warning = "200ms", critical = "500ms", action = "look at slow queries" }; below = true where less is worse. Raises where one is critical or has no data.
---@param ... any services, then the thresholds: a table, or the name of a file (Lua that returns it, JSON, TOML) that stands in needs.files
---@return table {rows, worst, sentence}; a row is {metric, value, shown, warning, critical, state, action}
function watch.table(...) end

---What the last 24 hours of services were like.
---@param ... any services, then { against = a baseline, or the name of its file (JSON), which stands in needs.files }
---@return table metric = { min, avg, max }, and against = { metric = { now, before, change } }
function watch.day(...) end

---What the last 12 hours of services were like.
---@param ... any services, then { against = a baseline, or the name of its file }
---@return table as from watch.day
function watch.night(...) end

return watch

-- What a database server says of itself. The samples have a session of their own: the one that a migration works with is busy, or
-- waits for the very lock that is looked for. What the role may not see is no data.
local arguments, sample = require "arguments", require "watch.sample"
local M = {}

local none = sample.none

-- A session beside the playbook's own, opened by the first look: fn gets it.
function M.own_session(connection)
  local pool
  return function(fn)
    pool = pool or db.pool(connection, { size = 1 })
    return db.use(pool, fn)
  end
end

-- A number of the database, decimals too; nil where it is none, or NaN or infinite.
function M.number(value)
  if value == nil or value == null or type(value) == "boolean" then return nil end
  local found = type(value) == "number" and value or tonumber(tostring(value))
  if found and found == found and found ~= math.huge and found ~= -math.huge then return found end
end
local number = M.number

-- What differs by server: sets of functions of a session.
local postgresql, mysql = {}, {}

-- Rows that the role may not see would be missing in every count.
local visible = "count(*) filter (where query = '<insufficient privilege>') as hidden"
local function seen(row)
  if number(row.hidden) > 0 then
    none("permission", "the role does not see what other sessions do", "GRANT pg_read_all_stats TO the role, or pg_monitor")
  end
  return row
end

function postgresql.connections(c)
  return number(db.value(c, "select count(*) from pg_stat_activity where backend_type = 'client backend' or query = '<insufficient privilege>'"))
end
function postgresql.pool_size(c)
  return number(db.value(c, "select current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8"))
end
function postgresql.longest_lock_wait(c)
  local waits = number(db.value(c, "select current_setting('server_version_num')::int8")) >= 140000 and "coalesce(l.waitstart, a.query_start)" or "a.query_start"
  local row = db.one(c, ([[select coalesce(max(extract(epoch from clock_timestamp() - %s)), 0)::float8 as seconds, count(*) filter (where %s is null) as hidden
    from pg_locks l join pg_stat_activity a on a.pid = l.pid where not l.granted]]):format(waits, waits))
  seen(row)
  return math.max(0, number(row.seconds))
end
function postgresql.blocked(c) return number(db.value(c, "select count(distinct pid) from pg_locks where not granted")) end
-- On the primary the replica that is furthest behind; on a replica itself. A replica that is gone has no lag that could be measured.
function postgresql.replica_lag(c, o)
  if db.value(c, "select pg_is_in_recovery()") then
    local row = db.one(c, [[select (select count(*) from pg_stat_wal_receiver) as receivers,
      case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0 else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 end as lag]])
    if number(row.receivers) == 0 then none("empty", "the replica receives nothing from its primary") end
    return number(row.lag) or none("empty", "the replica has replayed nothing yet")
  end
  -- A backup or an archiver streams too, and replays nothing.
  local row = db.one(c, [[select count(*) filter (where replay_lsn is not null) as replicas, count(*) filter (where state is null) as hidden,
    max(coalesce(extract(epoch from replay_lag), case when behind < 1048576 then 0 end))::float8 as lag,
    count(*) filter (where replay_lag is null and behind >= 1048576) as unknown
    from (select *, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) as behind from pg_stat_replication) r]])
  seen(row)
  if number(row.replicas) < o.replicas then
    none("empty", ("%d of %d replica%s connected"):format(number(row.replicas), o.replicas, o.replicas == 1 and " is" or "s are"))
  end
  if number(row.unknown) > 0 then none("empty", "a replica does not say how far behind it is") end
  return number(row.lag) or (o.replicas == 0 and 0 or none("empty", "no replica says how far behind it is"))
end
function postgresql.running(c, seconds)
  local row = seen(db.one(c, ([[select count(*) filter (where state = 'active' and clock_timestamp() - query_start >= ?::float8 * interval '1 second' and backend_type = 'client backend') as n, %s
    from pg_stat_activity where pid <> pg_backend_pid()]]):format(visible), seconds))
  return number(row.n)
end
function postgresql.size(c) return number(db.value(c, "select pg_database_size(current_database())")) end
-- Seconds and number of the statements of this database so far.
function postgresql.statements(c)
  local ok, row = pcall(db.one, c, [[select coalesce(sum(total_exec_time), 0)::float8 / 1000 as seconds, coalesce(sum(calls), 0)::float8 as calls
    from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())]])
  if ok then return number(row.seconds), number(row.calls) end
  if type(row) == "table" and row.kind == "db.connection" then error(row, 0) end
  none("unsupported", "pg_stat_statements is not there: " .. tostring(type(row) == "table" and row.message or row), "shared_preload_libraries, then CREATE EXTENSION pg_stat_statements")
end
function postgresql.slowest(c, count)
  return db.query(c, [[select left(query, 500) as sql, calls::int8 as calls, mean_exec_time / 1000 as mean_s, total_exec_time / 1000 as total_s
    from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database()) order by total_exec_time desc limit ?::int8]], count)
end
function postgresql.tables(c)
  return db.query(c, [[select n.nspname || '.' || c.relname as name, pg_total_relation_size(c.oid)::int8 as bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast' order by 2 desc, 1]])
end

local function status(c, name)
  local row = db.one(c, "show global status like '" .. name .. "'")
  for key, value in pairs(row or {}) do
    if key:lower() == "value" then return number(value) end
  end
end
-- Without the privilege PROCESS a session sees its own user's sessions alone. This view says so, where the list of sessions is silent.
local function sees_all(c)
  local ok, problem = pcall(db.value, c, "select count(*) from information_schema.innodb_trx")
  if ok then return end
  if type(problem) == "table" and problem.kind == "db.connection" then error(problem, 0) end
  none("permission", "the user does not see what other sessions do", "GRANT PROCESS ON *.* TO the user")
end
function mysql.connections(c) return status(c, "Threads_connected") end
function mysql.pool_size(c) return number(db.value(c, "select @@global.max_connections")) end
function mysql.longest_lock_wait(c)
  sees_all(c)
  local rows = number(db.value(c, "select coalesce(max(timestampdiff(second, trx_wait_started, now())), 0) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"))
  local tables = number(db.value(c, "select coalesce(max(time), 0) from information_schema.processlist where state like 'Waiting for %lock%' and command <> 'Daemon'"))
  return math.max(rows, tables)
end
function mysql.blocked(c)
  sees_all(c)
  return number(db.value(c, "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"))
    + number(db.value(c, "select count(*) from information_schema.processlist where state like 'Waiting for %lock%' and command <> 'Daemon'"))
end
-- Of a replica: what it says itself. Null where its replication does not run.
function mysql.replica_lag(c)
  local ok, rows = pcall(db.query, c, "show replica status")
  if not ok and type(rows) == "table" and rows.kind == "db.syntax" then rows = db.query(c, "show slave status")
  elseif not ok then error(rows, 0) end
  if #rows == 0 then none("empty", "the server is no replica: ask the one that is") end
  local worst
  for _, row in ipairs(rows) do
    local lag = row.Seconds_Behind_Source
    if lag == nil then lag = row.Seconds_Behind_Master end
    lag = number(lag)
    if not lag then none("empty", "the replication does not run") end
    worst = math.max(worst or lag, lag)
  end
  return worst
end
function mysql.running(c, seconds)
  sees_all(c)
  return number(db.value(c, "select count(*) from information_schema.processlist where command in ('Query', 'Execute') and id <> connection_id() and time >= ?", seconds))
end
function mysql.size(c)
  return number(db.value(c, "select coalesce(sum(data_length + index_length), 0) from information_schema.tables where table_schema = database()"))
end
-- Of the whole server: the list by statement is of a fixed size, and drops what comes when it is full.
function mysql.statements(c)
  if number(db.value(c, "select @@global.performance_schema")) == 0 then none("unsupported", "the server measures no statements", "performance_schema = ON in its configuration") end
  local row = db.one(c, "select coalesce(sum(sum_timer_wait), 0) / 1e12 as seconds, coalesce(sum(count_star), 0) as calls from performance_schema.events_statements_summary_global_by_event_name where event_name like 'statement/sql/%'")
  return number(row.seconds), number(row.calls)
end
function mysql.slowest(c, count)
  if number(db.value(c, "select @@global.performance_schema")) == 0 then none("unsupported", "the server measures no statements", "performance_schema = ON in its configuration") end
  local rows = db.query(c, ([[select left(digest_text, 500) as `sql`, count_star as calls, avg_timer_wait / 1e12 as mean_s, sum_timer_wait / 1e12 as total_s
    from performance_schema.events_statements_summary_by_digest where schema_name = database() order by sum_timer_wait desc limit %d]]):format(count))
  if #rows == 0 and status(c, "Performance_schema_digest_lost") > 0 then
    none("empty", "the server's list of statements is full, and has none of this database", "TRUNCATE performance_schema.events_statements_summary_by_digest, or raise performance_schema_digests_size")
  end
  return rows
end
function mysql.tables(c)
  return db.query(c, [[select convert(table_name using utf8mb4) as name, coalesce(data_length + index_length, 0) as bytes
    from information_schema.tables where table_schema = database() and table_type = 'BASE TABLE' order by 2 desc, 1]])
end
-- Statements that the server counted as slow so far.
function mysql.slow(c, limit)
  local counted = number(db.value(c, "select @@global.long_query_time"))
  if counted > limit then
    none("unsupported", ("the server counts as slow what takes more than %gs, not %gs"):format(counted, limit), ("set global long_query_time = %g"):format(limit))
  end
  return status(c, "Slow_queries")
end

M.options = { replicas = { "count", "how many replicas must be connected, for replica_lag", default = 1 } }

-- The samples of a server behind a connection. `which`: postgres or mysql.
function M.new(which, connection, o)
  local ask = which == "postgres" and postgresql or mysql
  local session, state, what = M.own_session(connection), sample.states(), "watch." .. which
  local function fits(c)
    local flavour = db.version(c).flavour
    if (flavour == "PostgreSQL") ~= (which == "postgres") or flavour == "SQLite" then
      error({ kind = "argument", message = ("%s: the connection is to %s"):format(what, flavour) }, 0)
    end
  end
  local checked = false
  local function with(fn, who)
    return session(function(c)
      if not checked then fits(c) end
      checked = true
      return fn(c, who)
    end)
  end
  local members = {}
  local function add(name, unit, fn)
    members[name] = sample.new(name, unit, function(who) return with(fn, who) end)
  end
  for name, unit in pairs { connections = "count", pool_size = "count", longest_lock_wait = "seconds", blocked = "count", size = "bytes" } do add(name, unit, ask[name]) end
  add("pool_used", "ratio", function(c) return ask.connections(c) / ask.pool_size(c) end)
  add("replica_lag", "seconds", function(c) return ask.replica_lag(c, o) end)
  add("disk_used", "ratio", function(c) return 1 - db.disk(c).free_ratio end)
  -- The mean time of a statement since the last look; the first look takes a second of its own.
  add("query_time", "seconds", function(c, who)
    local mine = state(who)
    if not mine.calls then
      mine.seconds, mine.calls = ask.statements(c)
      sleep(1)
    end
    local seconds, calls = ask.statements(c)
    local spent, n = sample.difference(mine, "seconds", seconds), sample.difference(mine, "calls", calls)
    if n <= 0 then return { requests = 0, why = "no statement since the last look" } end
    return spent / n, n
  end)
  members.reachable = sample.new("reachable", "boolean", function()
    local ok, problem = pcall(with, function(c) return db.value(c, "select 1") end)
    if ok then return true end
    if type(problem) == "table" and problem.kind == "db.connection" then return false end
    error(problem, 0)
  end)
  local made = {}
  local function per_limit(name, unit, fn)
    members[name] = function(limit)
      local seconds = time.duration(limit)
      local key = name .. " " .. seconds
      made[key] = made[key] or sample.new(("%s(%s)"):format(name, tostring(limit)), unit, function(who) return with(function(c) return fn(c, seconds, key, who) end) end)
      return made[key]
    end
  end
  per_limit("running", "count", ask.running)
  if ask.slow then
    per_limit("slow", "count", function(c, seconds, key, who) return sample.difference(state(who), key, ask.slow(c, seconds)) or 0 end)
  end
  -- Rows of text and numbers; a decimal is none.
  local function plain(rows, text, ...)
    local list = {}
    for i, row in ipairs(rows) do
      list[i] = { [text] = row[text] }
      for _, name in ipairs { ... } do list[i][name] = number(row[name]) end
    end
    return list
  end
  function members.slowest(count) return with(function(c) return plain(ask.slowest(c, math.floor(tonumber(count) or 10)), "sql", "calls", "mean_s", "total_s") end) end
  function members.tables() return with(function(c) return plain(ask.tables(c), "name", "bytes") end) end
  function members.alive() return members.reachable() end
  function members.sample()
    return with(function(c)
      local connections, size = ask.connections(c), ask.pool_size(c)
      return { connections = connections, pool_size = size, pool_used = connections / size, longest_lock_wait = ask.longest_lock_wait(c), blocked = ask.blocked(c), size = ask.size(c) }
    end)
  end
  function members.baseline() return members.sample() end
  return sample.service(what, members)
end

-- One value of a statement of the playbook's own.
function M.single(connection, text, o)
  local session = M.own_session(connection)
  return sample.new("sql", o.unit, function()
    local value = session(function(c) return db.value(c, text, unpack(o.params or {})) end)
    if arguments.unknown(value) and tostring(value):sub(1, 3) == "‹" then return value end -- a dry run
    if value == nil or value == null then none("empty", "no row, or NULL: " .. text) end
    if o.unit == "boolean" then
      if type(value) == "boolean" then return value end
      local bit = number(value)
      if bit ~= 0 and bit ~= 1 then none("answer", "neither true nor false: " .. text) end
      return bit == 1
    end
    return number(value) or none("answer", "no number: " .. text)
  end)
end

return M

-- Changing the schema of a database that is in use: no statement waits long for a lock (whoever wants the same table queues up behind it), and who is in
-- the way is named.
--   local ddl = require "ddl"
--   ddl.run(p.prod, "alter table orders add column note text")
local declare = require "declare"
local M, def = declare.module("ddl", "Changing the schema of a database that is in use: short waits for locks, blockers by name, invalid indexes mended.",
  'database parameters with access = "write"')
local connection_of = { "connection", "connection", "with access write" }

local waiting = { lock_timeout = { "duration", "how long a statement may wait for a lock", default = "3s" }, lock_retries = { "count", "how often it is tried again", default = 20 },
  pause = { "duration", "between two tries, so that those who queued up get their turn", default = "2s" } }
local errors = { "ddl.blocked", "db.connection", "db.auth", "db.permission", "db.timeout", "db.deadlock", "db.syntax", "db.constraint", "db.read_only", "db.error" }

local function short(sql)
  local line = sql:gsub("%s+", " "):gsub("^ ", "")
  return #line > 90 and line:sub(1, 87) .. "..." or line
end

local who_blocks = {
  postgresql = [[select a.pid as id, a.usename as who, a.application_name as application, a.state, floor(extract(epoch from now() - coalesce(a.state_change, a.query_start)))::bigint as seconds, a.query as doing
    from pg_stat_activity a where a.pid = any(pg_blocking_pids(?)) order by a.pid]],
  mysql = [[select p.id, p.user as who, '' as application, p.command as state, p.time as seconds, coalesce(p.info, '') as doing
    from sys.schema_table_lock_waits w join information_schema.processlist p on p.id = w.blocking_pid
    where w.waiting_pid = ? and w.blocking_pid <> w.waiting_pid]],
}
local own_id = { postgresql = "select pg_backend_pid()", mysql = "select connection_id()" }

local function given(value)
  if value == null or value == "" then return nil end
  return value
end

-- Sessions that a session waits for; none where the server does not tell.
local function blockers(connection, id)
  local ok, rows = pcall(db.query, connection, who_blocks[connection.engine], id)
  local found, seen = json.array {}, {}
  for _, row in ipairs(ok and rows or {}) do
    local number = tonumber(tostring(row.id))
    if not seen[number] then
      seen[number] = true
      found[#found + 1] = { id = number, who = row.who, application = given(row.application), state = given(row.state), seconds = tonumber(tostring(row.seconds)), sql = given(row.doing) and short(row.doing) }
    end
  end
  return found
end

def "blockers" { doc = "The sessions that a session waits for, who they are and what they did last.", connection_of, { "id", "integer", "of the session that waits, as in db.running" },
  returns = { "table[]", "{id, who, application, state, seconds, sql}; empty where nobody is in the way or the server does not tell" }, raises = { "db.connection", "permission" }, reads = true,
  example = [[for _, one in ipairs(ddl.blockers(p.prod, 4711)) do log.info("{who} {sql}", one) end]],
  run = function(connection, id)
    if not who_blocks[connection.engine] then return json.array {} end
    return blockers(connection, id)
  end }

-- Runs fn(limited connection) while a session of its own looks who is in the way. Returns whether it went well, its result or error, and the blockers.
local function watched(connection, limited, fn)
  local seen = {}
  if not who_blocks[connection.engine] then
    local ok, result = pcall(fn, limited)
    return ok, result, seen
  end
  local id = tonumber(tostring(db.value(limited, own_id[connection.engine])))
  local ended = race {
    work = function()
      local ok, result = pcall(fn, limited)
      return { ok = ok, result = result }
    end,
    watch = function()
      db.pool(connection, { size = 1 }):use(function(other)
        while true do
          sleep "250ms"
          local found = blockers(other, id)
          if #found > 0 then seen.list = found end
        end
      end)
    end,
  }
  return ended.ok, ended.result, seen.list or {}
end

local function sentence(found)
  if #found == 0 then return "who was in the way was not seen" end
  local parts = {}
  for i, one in ipairs(found) do
    local doing = one.state and ("%s for %s: %s"):format(one.state, time.text(one.seconds or 0), one.sql or "")
    parts[i] = ("session %d (%s%s, %s)"):format(one.id, one.who, one.application and " " .. one.application or "", doing or "what it does, a role with pg_read_all_stats is told")
  end
  return "in the way: " .. table.concat(parts, "; ")
end

local function terminate(connection, found)
  if #found == 0 then return "try again when there is less traffic, or with a longer lock_timeout" end
  return ("let it end, or end it where that is right: %s"):format(connection.engine == "postgresql" and ("select pg_terminate_backend(%d)"):format(found[1].id)
    or ("kill %d"):format(found[1].id))
end

local function patiently(connection, what, fn, o)
  local limited, found = connection, {}
  if connection.engine ~= "sqlite" then limited = db.limits(connection, { lock = o.lock_timeout }) end -- SQLite waits five seconds by itself
  for try = 0, o.lock_retries do
    local ok, result, now = watched(connection, limited, fn)
    if ok then return result end
    if type(result) ~= "table" or result.kind ~= "db.lock_timeout" then error(result, 0) end
    if #now > 0 then found = now end
    if try < o.lock_retries then
      log.warn(("%s: no lock within %s, try %d of %d; %s"):format(what, time.text(o.lock_timeout), try + 1, o.lock_retries + 1, sentence(found)))
      sleep(o.pause)
    end
  end
  error { kind = "ddl.blocked", message = ("%s: no lock within %s, tried %d times; %s"):format(what, time.text(o.lock_timeout), o.lock_retries + 1, sentence(found)),
    hint = terminate(connection, found) }
end

def "patiently" { doc = "Runs a function whose statements wait only a moment for a lock, and again where they did not get it. It must be all or nothing: one statement, or a transaction.",
  connection_of, { "fn", "function", "gets the connection with its limit; what it returns is returned" }, { "options", waiting, "how patient" },
  returns = { "value", "what fn returned" }, raises = errors, writes = true,
  example = [[ddl.patiently(p.prod, function(c)
  db.transaction(c, function() db.execute(c, "alter table orders add column note text") end)
end)]],
  run = function(connection, fn, o) return patiently(connection, "the change", fn, o) end }

-- --- indexes -------------------------------------------------------------------------------------------------------------------------

-- What a failed CREATE or REINDEX INDEX CONCURRENTLY left; those that somebody builds now are not among them.
local invalid = [[select i.indexrelid::regclass::text as name, i.indrelid::regclass::text as "table", pg_get_indexdef(i.indexrelid) as definition
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
  where not i.indisvalid and c.relkind = 'i' and n.nspname not in ('pg_catalog', 'pg_toast') and n.nspname not like 'pg_temp%'
    and not exists (select 1 from pg_stat_progress_create_index p where p.index_relid = i.indexrelid) order by 1]]

def "invalid_indexes" { doc = "PostgreSQL's indexes that a failed concurrent build left: every write keeps them up to date, no query uses them. One that is being built is not among them.",
  connection_of, returns = { "table[]", "{name, table, definition}" }, raises = { "db.connection", "db.permission", "db.error" }, reads = true,
  example = [[local broken = #ddl.invalid_indexes(p.prod)]],
  run = function(connection)
    local list = json.array {}
    if connection.engine ~= "postgresql" then return list end
    for i, row in ipairs(db.query(connection, invalid)) do list[i] = { name = row.name, table = row.table, definition = row.definition } end
    return list
  end }

local function drop(connection, name, o)
  patiently(connection, "drop index " .. name, function(c) db.execute(c, "drop index concurrently if exists " .. name) end, o)
end

def "repair_indexes" { doc = "Mends what ddl.invalid_indexes finds: an index is built again, what a failed rebuild left beside a good one (name_ccnew) is dropped. Without an exclusive lock.",
  connection_of, { "options", waiting, "how patient" }, returns = { "table", "{rebuilt, dropped}: names" }, raises = errors, writes = true,
  example = [[local mended = ddl.repair_indexes(p.prod)]],
  run = function(connection, o)
    local result = { rebuilt = json.array {}, dropped = json.array {} }
    for _, one in ipairs(M.invalid_indexes(connection)) do
      if one.name:find '_cc%a%a%a%d*"?$' then
        drop(connection, one.name, o)
        result.dropped[#result.dropped + 1] = one.name
      else
        patiently(connection, "reindex index " .. one.name, function(c) db.execute(c, "reindex index concurrently " .. one.name) end, o)
        result.rebuilt[#result.rebuilt + 1] = one.name
      end
    end
    return result
  end }

-- The name of the index that a statement builds concurrently, and what stands between it and the table; nil for another statement.
local function concurrent_index(sql)
  local rest = sql:gsub("%-%-[^\n]*", " "):gsub("%s+", " "):gsub("^ ", "")
  local after = rest:match "^[Cc][Rr][Ee][Aa][Tt][Ee] [%u%l]*%s?[Ii][Nn][Dd][Ee][Xx] [Cc][Oo][Nn][Cc][Uu][Rr][Rr][Ee][Nn][Tt][Ll][Yy] (.*)$"
  if not after then return nil end
  after = after:gsub("^[Ii][Ff] [Nn][Oo][Tt] [Ee][Xx][Ii][Ss][Tt][Ss] ", "")
  local name, table_name = after:match '^([%w_]+) [Oo][Nn] ([%w_."]+)'
  if not name then name, table_name = after:match '^("[^"]+") [Oo][Nn] ([%w_."]+)' end
  return name, table_name and table_name:gsub("^[Oo][Nn][Ll][Yy] ", "")
end

-- "valid", "invalid" or "absent". The index stands in the schema of its table.
local function index_state(connection, name, table_name)
  local plain = name:gsub('^"(.*)"$', "%1")
  if plain == name then plain = name:lower() end
  local found = db.query(connection, [[select i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relname = ? and i.indrelid = to_regclass(?)]], plain, table_name)
  if #found == 0 then return "absent" end
  return found[1].valid and "valid" or "invalid"
end

def "index_state" { doc = "For `observe`: what became of a statement CREATE INDEX CONCURRENTLY.", connection_of, { "sql", "text", "the statement" },
  returns = { "string?", '"valid", "invalid" or "absent"; nil for any other statement' }, raises = { "db.connection", "db.permission", "db.error" }, reads = true,
  example = [[local state = ddl.index_state(p.prod, "create index concurrently orders_by_day on orders (day)")]],
  run = function(connection, sql)
    local name, table_name = concurrent_index(sql)
    if not name or connection.engine ~= "postgresql" then return nil end
    return index_state(connection, name, table_name)
  end }

def "run" {
  doc = "Runs one statement patiently. CREATE INDEX CONCURRENTLY: an invalid index of that name, left by a failed build, is dropped first (IF NOT EXISTS alone would take it for the index), one that is there is left; and where the build fails, what it leaves is dropped again.",
  connection_of, { "sql", "text", "one statement" }, { "options", waiting, "how patient" }, returns = { "string", '"done", or "exists" for an index that is there' }, raises = errors, writes = true,
  example = [[ddl.run(p.prod, "create index concurrently orders_by_day on orders (day)", { lock_timeout = "1s" })]],
  run = function(connection, sql, o)
    local name, table_name = concurrent_index(sql)
    if connection.engine ~= "postgresql" then name = nil end
    local full = name and (table_name:match '^(.*%.)[^.]+$' or "") .. name
    if name then
      local state = index_state(connection, name, table_name)
      if state == "valid" then return "exists" end
      if state == "invalid" then drop(connection, full, o) end
    end
    local ok, problem = pcall(patiently, connection, short(sql), function(c)
      if name and index_state(connection, name, table_name) == "invalid" then db.execute(c, "drop index concurrently if exists " .. full) end
      db.execute(c, sql)
    end, o)
    if ok then return "done" end
    if name and index_state(connection, name, table_name) == "invalid" then drop(connection, full, o) end
    error(problem, 0)
  end }

return M

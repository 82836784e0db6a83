-- What a database knows of its migrations: the table _runbook_migrations, one row each, and the lock that keeps two from migrating at once. Part of `migrate`.
-- The lock is a lock of the session (advisory lock, GET_LOCK), which ends with it, and a row that says whose it is: so an owner who is gone is told from one
-- who works. SQLite has no locks of sessions; there the row alone counts.
local M = {}

local ledger, lock = "_runbook_migrations", "_runbook_migration_lock"
local key = 1382447982 -- any number that is ours; PostgreSQL's advisory locks are the database's own

local exists = {
  postgresql = "select to_regclass(?) is not null",
  mysql = "select count(*) > 0 from information_schema.tables where table_schema = database() and table_name = ?",
  sqlite = "select count(*) > 0 from sqlite_master where type = 'table' and name = ?",
}

local function there(connection, name)
  local found = db.value(connection, exists[connection.engine], name)
  return found == true or tonumber(tostring(found)) == 1
end

local function number(value) return value ~= nil and value ~= null and tonumber(tostring(value)) or nil end
local function text(value) return value ~= nil and value ~= null and tostring(value) or nil end

function M.create(connection)
  if there(connection, ledger) and there(connection, lock) then return end
  local long = connection.engine == "mysql" and "longtext" or "text"
  db.execute(connection, ([[create table if not exists %s (version bigint not null primary key, name varchar(200) not null, checksum varchar(64) not null, state varchar(10) not null,
    statements int not null, done int not null, in_transaction int not null, down_sql %s, contract_sql %s, contracted varchar(40), owner varchar(100) not null,
    began varchar(40) not null, finished varchar(40))]]):format(ledger, long, long))
  db.execute(connection, ("create table if not exists %s (id int not null primary key, owner varchar(100) not null, role varchar(100) not null, since varchar(40) not null)"):format(lock))
end

local function understood(row)
  return { version = number(row.version), name = row.name, checksum = row.checksum, state = row.state, statements = number(row.statements), done = number(row.done),
    transaction = number(row.in_transaction) == 1, down = text(row.down_sql), contract = text(row.contract_sql), contracted = text(row.contracted), owner = row.owner, began = row.began,
    finished = text(row.finished) }
end

-- All rows by version, and a list of them in their order.
function M.rows(connection)
  local by, list = {}, {}
  if not there(connection, ledger) then return by, list end
  for i, row in ipairs(db.query(connection, "select * from " .. ledger .. " order by version")) do
    local one = understood(row)
    by[one.version], list[i] = one, one
  end
  return by, list
end

-- That of one version, or nil.
function M.row(connection, version)
  local row = there(connection, ledger) and db.one(connection, "select * from " .. ledger .. " where version = ?", version)
  return row and understood(row) or nil
end

function M.begin(connection, one, owner, state)
  local now = time.iso(time.now())
  db.execute(connection, "insert into " .. ledger .. [[ (version, name, checksum, state, statements, done, in_transaction, down_sql, contract_sql, owner, began, finished)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]], one.version, one.name, one.checksum, state, one.statements, state == "done" and one.statements or 0, one.transaction and 1 or 0,
    one.down or null, one.contract or null, owner, now, state == "done" and now or null)
end

function M.advance(connection, one, done)
  local finished = done == one.statements
  db.execute(connection, "update " .. ledger .. " set done = ?, state = ?, finished = ? where version = ?", done, finished and "done" or "running",
    finished and time.iso(time.now()) or null, one.version)
end

function M.remove(connection, version) db.execute(connection, "delete from " .. ledger .. " where version = ?", version) end
function M.contracted(connection, version) db.execute(connection, "update " .. ledger .. " set contracted = ? where version = ?", time.iso(time.now()), version) end
function M.set_checksum(connection, version, checksum) db.execute(connection, "update " .. ledger .. " set checksum = ? where version = ?", checksum, version) end

-- Waits, inside of a transaction of PostgreSQL, until an older one of ours has ended: its commit may still be under way.
function M.alone(connection)
  if connection.engine == "postgresql" then db.value(connection, ("select pg_advisory_xact_lock(%d, 2)"):format(key)) end
end

-- --- the lock ------------------------------------------------------------------------------------------------------------------------

-- Whether this session of PostgreSQL has the lock. It is taken once, however often that is asked: what is taken twice must be given back twice.
local function has(connection)
  return number(db.value(connection,
    ("select count(*) from pg_locks where locktype = 'advisory' and classid = %d and objid = 1 and pid = pg_backend_pid() and granted"):format(key))) > 0
end

-- Takes the lock of this session: false where a living session has it; nil where sessions have none.
local function take(connection)
  if connection.engine == "postgresql" then
    return has(connection) or db.value(connection, ("select pg_try_advisory_lock(%d, 1)"):format(key)) == true
  end
  if connection.engine == "mysql" then
    if number(db.value(connection, "select is_used_lock(concat('runbook:', database())) = connection_id()")) == 1 then return true end
    return number(db.value(connection, "select get_lock(concat('runbook:', database()), 0)")) == 1
  end
end

local function give_back(connection)
  if connection.engine == "postgresql" then
    if has(connection) then db.value(connection, ("select pg_advisory_unlock(%d, 1)"):format(key)) end
  elseif connection.engine == "mysql" then
    db.value(connection, "select release_lock(concat('runbook:', database()))")
  end
end

local function holder(connection)
  if not there(connection, lock) then return nil end
  local row = db.one(connection, "select owner, role, since from " .. lock .. " where id = 1")
  return row ~= null and row or nil
end

-- Takes the lock for `owner`, who may have it already. `anyway`: also from an owner who is provably gone.
function M.lock(connection, owner, anyway)
  local got = take(connection)
  local held = holder(connection)
  local who = held and ("%s (as %s) since %s"):format(held.owner, held.role, held.since) or "another session"
  if got == false then
    error { kind = "migrate.locked", message = ("the migrations of %s are being run by %s"):format(connection.name, who), hint = "wait for it: runbook runs shows what goes on" }
  end
  if held and held.owner ~= owner and not (anyway and got) then
    if got then give_back(connection) end
    error { kind = got and "migrate.abandoned" or "migrate.locked",
      message = got and ("the lock of the migrations of %s belongs to %s, whose session has ended"):format(connection.name, who)
        or ("the lock of the migrations of %s belongs to %s; whether that still works, SQLite cannot tell"):format(connection.name, who),
      hint = ("runbook resume its run; or, when nobody will: migrate.unlock(connection, \"%s\")"):format(held.owner) }
  end
  M.create(connection)
  if held and held.owner ~= owner then log.warn(("the lock of the migrations was %s's, whose session has ended; it is taken over to go back"):format(who)) end
  db.execute(connection, "delete from " .. lock .. " where id = 1")
  db.execute(connection, "insert into " .. lock .. " (id, owner, role, since) values (1, ?, ?, ?)", owner, connection.user or "", time.iso(time.now()))
end

function M.unlock(connection)
  if there(connection, lock) then db.execute(connection, "delete from " .. lock .. " where id = 1") end
  give_back(connection)
end

-- Removes the lock of an owner who is gone; refused while the owner lives, and where it is another one's.
function M.break_lock(connection, owner)
  local held = holder(connection)
  if not held then return false end
  if held.owner ~= owner then
    error { kind = "migrate.locked", message = ("the lock of the migrations of %s belongs to %s, not to %s"):format(connection.name, held.owner, owner) }
  end
  if take(connection) == false then
    error { kind = "migrate.locked", message = ("%s still holds the lock of the migrations of %s: its session lives"):format(owner, connection.name), hint = "runbook cancel its run first" }
  end
  M.unlock(connection)
  return true
end

return M

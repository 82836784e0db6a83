---@meta ddl
-- Generated from the declarations in stdlib/.

---Changing the schema of a database that is in use: short waits for locks, blockers by name, invalid indexes mended. In a playbook: `local ddl = require "ddl"`, and `database parameters with access = "write"`.
---@class ddllib
local ddl = {}

---The sessions that a session waits for, who they are and what they did last.
---@param connection connection with access write
---@param id integer of the session that waits, as in db.running
---@return table[] {id, who, application, state, seconds, sql}; empty where nobody is in the way or the server does not tell
function ddl.blockers(connection, id) end

---@class ddl.patiently.options
---@field lock_retries? integer how often it is tried again (20)
---@field lock_timeout? string|number how long a statement may wait for a lock (3s)
---@field pause? string|number between two tries, so that those who queued up get their turn (2s)

---Runs a function whose statements wait only a moment for a lock, and again where they did not get it. It must be all or nothing: one statement, or a transaction.
---@param connection connection with access write
---@param fn function gets the connection with its limit; what it returns is returned
---@param options? ddl.patiently.options how patient
---@return any what fn returned
function ddl.patiently(connection, fn, options) end

---PostgreSQL's indexes that a failed concurrent build left: every write keeps them up to date, no query uses them. One that is being built is not among them.
---@param connection connection with access write
---@return table[] {name, table, definition}
function ddl.invalid_indexes(connection) end

---@class ddl.repair_indexes.options
---@field lock_retries? integer how often it is tried again (20)
---@field lock_timeout? string|number how long a statement may wait for a lock (3s)
---@field pause? string|number between two tries, so that those who queued up get their turn (2s)

---Mends what ddl.invalid_indexes finds: an index is built again, what a failed rebuild left beside a good one (name_ccnew) is dropped. Without an exclusive lock.
---@param connection connection with access write
---@param options? ddl.repair_indexes.options how patient
---@return table {rebuilt, dropped}: names
function ddl.repair_indexes(connection, options) end

---For `observe`: what became of a statement CREATE INDEX CONCURRENTLY.
---@param connection connection with access write
---@param sql string the statement
---@return string? "valid", "invalid" or "absent"; nil for any other statement
function ddl.index_state(connection, sql) end

---@class ddl.run.options
---@field lock_retries? integer how often it is tried again (20)
---@field lock_timeout? string|number how long a statement may wait for a lock (3s)
---@field pause? string|number between two tries, so that those who queued up get their turn (2s)

---Runs one statement patiently. CREATE INDEX CONCURRENTLY: an invalid index of that name, left by a failed build, is dropped first (IF NOT EXISTS alone would take it for the index), one that is there is left; and where the build fails, what it leaves is dropped again.
---@param connection connection with access write
---@param sql string one statement
---@param options? ddl.run.options how patient
---@return string "done", or "exists" for an index that is there
function ddl.run(connection, sql, options) end

return ddl

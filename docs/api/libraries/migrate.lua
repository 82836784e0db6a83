---@meta migrate
-- Generated from the declarations in stdlib/.

---Versioned migrations of a database: files of SQL, planned, applied once, and undone. In a playbook: `local migrate = require "migrate"`, and `needs = { files = { "migrations/" } }`; database parameters with access = "write".
---@class migratelib
local migrate = {}

---@class migrate.plan.options
---@field out_of_order? boolean also what is older than the newest that was applied (false)

---What is to be applied, in its order, with checksums and risks. Raises for what does not fit together: a file that was edited after it ran, two with one version, one that is gone.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param folder string where the files are
---@param options? migrate.plan.options what is allowed
---@return table {id, folder, version, pending = {{version, name, file, checksum, statements, transaction, risk, why}}, applied, risk, sentence, valid, irreversible}: irreversible names those without a down file
function migrate.plan(connection, folder, options) end

---The newest version that was applied.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@return integer 0 where there is none
function migrate.version(connection) end

---For `observe` of a step that migrates: how far a plan is.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param plan table from migrate.plan
---@param version? integer what migrate.version said before
---@return string "done", "absent" or "partial"
function migrate.state(connection, plan, version) end

---@class migrate.up.options
---@field each? function ctx.step: each migration is a sub-step
---@field lock_retries? integer how often it is tried again (20)
---@field lock_timeout? string|number how long a statement may wait for a lock (3s)
---@field pause? string|number between two tries (2s)
---@field plan table from migrate.plan

---Applies what a plan says, in its order. What is there already is left; a statement that does not get its lock is tried again, and who is in the way is named.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param options migrate.up.options what, and how
---@return table {applied, version}
function migrate.up(connection, options) end

---@class migrate.down.options
---@field each? function ctx.step: each migration is a sub-step
---@field lock_retries? integer how often it is tried again (20)
---@field lock_timeout? string|number how long a statement may wait for a lock (3s)
---@field pause? string|number between two tries (2s)
---@field to integer the version to go back to; what migrate.version said before

---Goes back to a version by the down files as they were when their migrations ran, newest first. Never below that version. Where one of them has none, nothing is done.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param options migrate.down.options how far
---@return table {undone, version}
function migrate.down(connection, options) end

---@class migrate.inspect.options
---@field plan table from migrate.plan
---@field rows? table db.counts before: no table may have lost rows

---Whether the database is what a plan says: for the checkpoint behind it.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param options migrate.inspect.options what is expected
---@return table {id, applied, missing, invalid, unvalidated, orphans, damaged, problems, only_invalid_indexes}: damaged counts tables that lost rows; problems are texts
function migrate.inspect(connection, options) end

---For `repair` of the checkpoint that inspects: ddl.repair_indexes on the database that was inspected.
---@param result table of migrate.inspect, in the same checkpoint
---@return table {rebuilt, dropped}: names
function migrate.reindex_invalid(result) end

---@class migrate.contract.options
---@field each? function ctx.step: each migration is a sub-step
---@field lock_retries? integer how often it is tried again (20)
---@field lock_timeout? string|number how long a statement may wait for a lock (3s)
---@field pause? string|number between two tries (2s)

---Runs the contract files of what was applied: what was only for the change from the old to the new is dropped, once the old is gone.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param options? migrate.contract.options how
---@return table {contracted}: names
function migrate.contract(connection, options) end

---Removes the lock of an owner whose session has ended. Refused while it lives, and where the lock is another one's.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param owner string as the refusal names it
---@return boolean false where there is no lock
function migrate.unlock(connection, owner) end

---Takes the file of an applied migration as it is now for the one that ran: where only comments or spaces changed.
---@param connection connection PostgreSQL, MySQL, MariaDB or SQLite
---@param folder string where the files are
---@param version integer of the migration
function migrate.accept(connection, folder, version) end

return migrate

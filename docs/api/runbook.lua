---@meta runbook
-- Generated from the declarations in bindings/ and runtime/engine/.

---PostgreSQL, MySQL, MariaDB and SQLite: statements with bound parameters, rows with typed values, transactions, facts about the server.
---@class dblib
db = {}

---A bounded number of sessions to one database.
---@class pool
---@field size integer sessions at most
---@field used integer lent right now
---@field use function see the function of the same name

---A database: its address, and a session that opens with the first statement.
---@class connection
---@field engine string postgresql, mysql or sqlite (MariaDB is mysql; db.version knows the difference)
---@field host string host name or address
---@field port integer port, the engine's default where the URL has none
---@field name string name of the database; the path for SQLite
---@field user string user name
---@field password secret the URL's password, or nil
---@field query function see the function of the same name
---@field one function see the function of the same name
---@field value function see the function of the same name
---@field rows function see the function of the same name
---@field execute function see the function of the same name
---@field prepare function see the function of the same name
---@field script function see the function of the same name
---@field transaction function see the function of the same name
---@field savepoint function see the function of the same name
---@field insert function see the function of the same name
---@field limits function see the function of the same name
---@field timeout function see the function of the same name
---@field close function see the function of the same name

---@class db.connect.options
---@field access? string read (default), write or admin
---@field name? string what hints call it

---Opens a session outside the playbook's parameters: for the REPL and for experiments.
---@param url string postgres://user:password@host:port/name, mysql://…, mariadb://… or sqlite:PATH; options: sslmode, sslrootcert, sslcert, sslkey, socket, connect_timeout, application_name
---@param options? db.connect.options what the session may do
---@return connection an open connection, read-only unless access says more
function db.connect(url, options) end

---Ends the session; the next statement opens a new one.
---@param connection connection a connection that is not in a transaction
function db.close(connection) end

---The same connection with a time limit for each statement, kept by the server.
---@param connection connection the connection to limit; it stays as it is
---@param limit string|number longest time for one statement
---@return connection shares the session and its transaction
function db.timeout(connection, limit) end

---Opens a transaction; db.transaction does it and ends it in every case.
---@param connection connection a connection that is not in a transaction
function db.begin(connection) end

---Makes the open transaction's changes permanent.
---@param connection connection a connection in a transaction
function db.commit(connection) end

---Undoes the open transaction's changes; nothing happens where none is open.
---@param connection connection a connection
function db.rollback(connection) end

---Rolls back without waiting: what db.transaction does in a task that was cancelled.
---@param connection connection a connection
function db.abandon(connection) end

---Runs fn in a transaction: committed when fn returns, rolled back when it raises.
---@param connection connection the statements inside fn use this connection
---@param fn function gets the connection; what it returns is returned
---@return any what fn returned
function db.transaction(connection, fn) end

---Runs a statement and returns all of its rows.
---@param connection connection a parameter of type database, or what db.connect returned
---@param sql string one statement; parameters stand as ? (PostgreSQL: also $1)
---@param ... any values for the parameters, in order; null or nil for NULL; never pasted into the SQL
---@return table[] one table by column name for each row; NULL is nil, and a name that is no column raises
function db.query(connection, sql, ...) end

---Runs a statement and returns its one row.
---@param connection connection a connection
---@param sql string one statement; parameters stand as ? (PostgreSQL: also $1)
---@param ... any values for the parameters, in order; null or nil for NULL; never pasted into the SQL
---@return table the row by column name, or nil where there is none; a second row raises
function db.one(connection, sql, ...) end

---Runs a statement and returns the first column of its first row.
---@param connection connection a connection
---@param sql string one statement; parameters stand as ? (PostgreSQL: also $1)
---@param ... any values for the parameters, in order; null or nil for NULL; never pasted into the SQL
---@return any nil for NULL, and where there is no row
function db.value(connection, sql, ...) end

---Runs a statement for its effect.
---@param connection connection a connection with access write or admin
---@param sql string one statement; parameters stand as ? (PostgreSQL: also $1)
---@param ... any values for the parameters, in order; null or nil for NULL; never pasted into the SQL
---@return table {rows_affected, last_insert_id, warnings}
function db.execute(connection, sql, ...) end

---Runs several statements without parameters, as one script; stops at the first error.
---@param connection connection a connection with access write or admin
---@param sql string statements with semicolons between them; their rows are dropped
function db.script(connection, sql) end

---Iterates over the rows of a statement in bounded memory.
---@param connection connection a connection; the loop has it to itself: another statement on it ends the loop with an error
---@param sql string one statement; parameters stand as ? (PostgreSQL: also $1)
---@param ... any values for the parameters, in order
---@return function an iterator for `for row in …`; row.name reads a cell, and a name that is no column raises
function db.rows(connection, sql, ...) end

---A version from text, for comparing.
---@param text string "8.0.34"
---@return table {major, minor, patch, text}; compares with == < <=
function db.parse_version(text) end

---The version of the server behind a connection.
---@param connection connection a connection
---@return table {major, minor, patch, text, flavour}
function db.server_version(connection) end

---What tells a server from every other, whatever name it is reached by.
---@param connection connection a connection
---@return string PostgreSQL: the system identifier (host and port where the role may not see it); MySQL: server_uuid; MariaDB: a hash of what stays; SQLite: the file's real path
function db.identity(connection) end

---The version of a server, or of a text, for comparing.
---@param of connection|string a connection, or "8.0.34"
---@return table {major, minor, patch, text, flavour}; compares with == < <=; flavour is PostgreSQL, MySQL, MariaDB or SQLite
function db.version(of) end

---The names of the tables of the database (PostgreSQL: of the current schema), sorted.
---@param connection connection a connection
---@return string[] base tables; views, partitions of other tables and the program's own (_runbook_…) are left out
function db.tables(connection) end

---The exact number of rows of each table, all of one moment.
---@param connection connection a connection
---@param tables? string[] names; all tables where it is left out
---@return table counts by name, with :equals(other) and .total
function db.counts(connection, tables) end

---What a user may do with the tables of the database.
---@param connection connection a connection whose user may see the privileges
---@param user? string whose privileges; the connection's own user where it is left out
---@return table {user, on, list, partial}, with :equals { "SELECT", on = name } and :covers "ALL"; partial: held on some tables only
function db.grants(connection, user) end

---How the connection is encrypted.
---@param connection connection a connection
---@return table {cipher}; cipher is nil where the connection is not encrypted
function db.tls(connection) end

---Statements that other sessions are running now.
---@param connection connection a connection; without the server's monitoring privilege it sees its own user's only
---@param longer_than? string|number leave out statements younger than this; default 0
---@return table[] {id, user, seconds, state, sql}, the longest first
function db.running(connection, longer_than) end

---@class db.mark.options
---@field counted? boolean false: tables are not counted, and rows deleted from PostgreSQL are not seen (default true)

---This moment of a database, for db.written_since.
---@param connection connection a connection
---@param options? db.mark.options how much is kept
---@return table plain data that a step may return
function db.mark(connection, options) end

---How many rows were written to a database since a moment, by anybody: what a rollback from here would lose.
---@param connection connection a connection to the same database
---@param mark table from db.mark, or a result of backup.create
---@return table {rows, tables = {name = {written, deleted}}, nothing}: at least so many rows; nothing is true only where it is certain
function db.written_since(connection, mark) end

---@class db.fence_on.options
---@field role? string[] keeps out these roles or users only (default: everybody but the connection's own)
---@field except? string[] roles or users that may go on writing
---@field within? string|number how long open transactions of writers may take to end (default 30s)
---@field counted? boolean false: tables are not counted, and the proof does not see rows deleted from PostgreSQL (default true)

---Closes a write fence; db.write_fence makes a step of it.
---@param connection connection a connection with access admin, as a role or user of its own, which owns the tables or may grant on them
---@param options? db.fence_on.options whom it keeps out
---@return table {fenced, tables, ended}: names, number of tables, sessions ended
function db.fence_on(connection, options) end

---@class db.fence_off.options
---@field role? string[] keeps out these roles or users only (default: everybody but the connection's own)
---@field except? string[] roles or users that may go on writing
---@field within? string|number how long open transactions of writers may take to end (default 30s)
---@field counted? boolean false: tables are not counted, and the proof does not see rows deleted from PostgreSQL (default true)

---Opens a write fence: gives back exactly what was taken.
---@param connection connection a connection with access admin, as a role or user of its own, which owns the tables or may grant on them
---@param options? db.fence_off.options as given to db.fence_on
---@return table {given_back, gone}: grants restored; tables and roles that are gone
function db.fence_off(connection, options) end

---@class db.fence_state.options
---@field role? string[] keeps out these roles or users only (default: everybody but the connection's own)
---@field except? string[] roles or users that may go on writing
---@field within? string|number how long open transactions of writers may take to end (default 30s)
---@field counted? boolean false: tables are not counted, and the proof does not see rows deleted from PostgreSQL (default true)

---Whether a write fence stands.
---@param connection connection a connection with access admin, as a role or user of its own, which owns the tables or may grant on them
---@param options? db.fence_state.options as given to db.fence_on
---@return string "on", "off", or "between" where it was interrupted
function db.fence_state(connection, options) end

---@class db.fence_held.options
---@field role? string[] keeps out these roles or users only (default: everybody but the connection's own)
---@field except? string[] roles or users that may go on writing
---@field within? string|number how long open transactions of writers may take to end (default 30s)
---@field counted? boolean false: tables are not counted, and the proof does not see rows deleted from PostgreSQL (default true)

---The proof that nothing was written since a fence was closed.
---@param connection connection a connection with access admin, as a role or user of its own, which owns the tables or may grant on them
---@param options? db.fence_held.options as given to db.fence_on
---@return table {held, why, rows, tables, since}: held is true only where the fence stands, nobody whom it keeps out may write, and nothing was written
function db.fence_held(connection, options) end

---A toggle that keeps other people's writers out of a database, reading goes on, and proves that nothing was written while it was on.
---@param connection connection a connection with access admin, as a role or user of its own, which owns the tables or may grant on them
---@param options? table {role, except, within, counted}: see db.fence_on
---@return table {on, off, state, held}: on and off are actions for steps; held() is the proof, as from db.fence_held
function db.write_fence(connection, options) end

---One verb of a savepoint; db.savepoint does it in every case.
---@param connection connection a connection in a transaction
---@param verb string savepoint, release savepoint or rollback to savepoint
---@param depth integer how many savepoints stand around it
function db.set_savepoint(connection, verb, depth) end

---Runs fn inside the open transaction: where fn raises, what it did is undone, the transaction goes on, and the error is raised.
---@param connection connection a connection in a transaction
---@param fn function gets the connection; what it returns is returned
---@return any what fn returned
function db.savepoint(connection, fn) end

---@class db.limits.options
---@field statement? string|number longest time for one statement
---@field lock? string|number longest wait for a lock (MySQL: in whole seconds), then db.lock_timeout

---The same connection with limits, kept by the server.
---@param connection connection the connection to limit; it stays as it is
---@param options? db.limits.options the limits
---@return connection shares the session and its transaction
function db.limits(connection, options) end

---Inserts many rows, in statements of up to a thousand with bound parameters: all of them or none.
---@param connection connection a connection with access write or admin
---@param table string its name, or schema.table
---@param rows value[] a list of tables by column name; a column that a row lacks is NULL
---@return integer how many rows
function db.insert(connection, table, rows) end

---Listens to a channel of PostgreSQL: what is sent from now on waits for db.notification.
---@param connection connection a connection; while it listens, give other work another one
---@param channel string name of the channel
function db.listen(connection, channel) end

---Waits for the next notification.
---@param connection connection a connection that listens
---@param within string|number how long
---@return table {channel, payload, pid}, or nil where none came within that time
function db.notification(connection, within) end

---Sends a notification to whoever listens.
---@param connection connection a connection with access write or admin
---@param channel string name of the channel
---@param payload? string text that goes with it, below 8000 bytes
function db.notify(connection, channel, payload) end

---@class db.pool.options
---@field size? integer sessions at most, 1 to 64 (default 4)

---A bounded number of sessions like a connection's, for branches that run side by side.
---@param connection connection whose address and rights they have
---@param options? db.pool.options how many
---@return pool pool:use(fn) lends one; each opens with its first statement
function db.pool(connection, options) end

---Takes a connection out of a pool, waiting for a free one; db.use does it and gives it back in every case.
---@param pool pool from db.pool
---@return connection nobody else has it until db.give_back
function db.lend(pool) end

---Gives a connection back to its pool.
---@param pool pool from db.pool
---@param connection connection from db.lend
function db.give_back(pool, connection) end

---Runs fn with a connection of a pool; waits where all are in use.
---@param pool pool from db.pool
---@param fn function gets the connection, which is its own until it returns
---@return any what fn returned
function db.use(pool, fn) end

---Lets the server parse a statement once, to run it many times.
---@param connection connection a connection; the statement lives in its session and ends with it
---@param sql string one statement; parameters stand as ? (PostgreSQL: also $1)
---@return statement statement:query(…), :one, :value, :rows, :execute, :close
function db.prepare(connection, sql) end

---The size of the database, and the room on the disk under it.
---@param connection connection a connection; the server must be on this host (or be MariaDB with its plugin disks): no SQL tells it otherwise
---@return table {bytes, free, total, free_ratio, folder}
function db.disk(connection) end

---Whether changes are archived, so that a point in time can be restored.
---@param connection connection a connection
---@return table {healthy, on, why, last, failed}: PostgreSQL by its archiver, MySQL and MariaDB by the binary log
function db.archiving(connection) end

---What to compare before and after a change.
---@param connection connection a connection
---@return table {flavour, version, bytes, unvalidated, invalid_indexes, orphans, sessions, most_sessions}: orphans are rows whose foreign key points nowhere, of keys that the engine does not vouch for
function db.facts(connection) end

---Tells the server to cancel the statement that another session runs.
---@param connection connection a connection with access admin
---@param id integer as in db.running
---@return boolean false where there is no such session
function db.cancel(connection, id) end

---Prepared statements, which db.prepare makes: parsed once, run many times.
---@class statementlib
statement = {}

---A prepared statement. It ends with its session.
---@class statement
---@field sql string what was prepared
---@field query function see the function of the same name
---@field one function see the function of the same name
---@field value function see the function of the same name
---@field rows function see the function of the same name
---@field execute function see the function of the same name
---@field close function see the function of the same name

---Runs the statement and returns all of its rows.
---@param statement statement from db.prepare
---@param ... any values for the parameters, in order; null or nil for NULL
---@return table[] one table by column name for each row, as db.query gives them
function statement.query(statement, ...) end

---Runs the statement and returns its one row.
---@param statement statement from db.prepare
---@param ... any values for the parameters, in order; null or nil for NULL
---@return table the row by column name, or nil where there is none; a second row raises
function statement.one(statement, ...) end

---Runs the statement and returns the first column of its first row.
---@param statement statement from db.prepare
---@param ... any values for the parameters, in order; null or nil for NULL
---@return any nil for NULL, and where there is no row
function statement.value(statement, ...) end

---Iterates over the statement's rows in bounded memory.
---@param statement statement from db.prepare
---@param ... any values for the parameters, in order; null or nil for NULL
---@return function an iterator for `for row in …`, as db.rows gives it
function statement.rows(statement, ...) end

---Runs the statement for its effect.
---@param statement statement from db.prepare, of a connection with access write or admin
---@param ... any values for the parameters, in order; null or nil for NULL
---@return table {rows_affected, last_insert_id, warnings}
function statement.execute(statement, ...) end

---Gives the statement back to the server; using it again is an error.
---@param statement statement from db.prepare
function statement.close(statement) end

---Backups that are proven: dumped by the engine's own tool, read back, restored to be sure.
---@class backuplib
backup = {}

---@class backup.repository.options
---@field password? secret a secret; else RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND
---@field env? table of the store: { AWS_ACCESS_KEY_ID = …, AWS_SECRET_ACCESS_KEY = a secret }

---Names a restic repository and what opens it: encrypted, deduplicated, off-site.
---@param location string a folder, or sftp:USER@HOST:/PATH, rest:URL, s3:HOST/BUCKET…
---@param options? backup.repository.options its password
---@return string "restic:LOCATION", for wherever a folder of backups is taken
function backup.repository(location, options) end

---Makes an empty repository.
---@param repository string from backup.repository
function backup.init(repository) end

---@class backup.create.options
---@field to? string[] folders and repositories (backup.repository), each gets a copy; backup/
---@field format? string PostgreSQL: custom or directory; MySQL, MariaDB: mysqldump (each server's own tool) or mydumper
---@field jobs? integer parallel connections, 1; more than one: directory, mydumper
---@field name? string name without ending; database and time
---@field tool? string path of pg_dump, mysqldump, mariadb-dump or mydumper; else RUNBOOK_PG_DUMP, RUNBOOK_MYSQLDUMP, RUNBOOK_MARIADB_DUMP, RUNBOOK_MYDUMPER, then PATH

---Dumps a database, reads the dump back, and counts its rows in the dump's own snapshot.
---@param source connection the database
---@param options? backup.create.options where to, and with which tool
---@return table {file, files, bytes, sha256, engine, server_version, tool, source, tables, rows, counts, objects, position, unusual, inexact, started, seconds, mark, verified = "read"}: mark is for db.written_since, position is where the server's log stood before, unusual tells what does not fit the backups before, inexact which values the dump rounds
function backup.create(source, options) end

---@class backup.latest.options
---@field from? string[] folders to look in; backup/
---@field restored? boolean only one that was test-restored

---The newest backup of a database that is whole.
---@param source connection the database
---@param options? backup.latest.options where to look, and how far it must be proven
---@return table as backup.create, and `age` in seconds
function backup.latest(source, options) end

---Reads a backup: its digest, then all of it as a restore would; of a repository every byte.
---@param backup any path, or a result of backup.create
---@return table as backup.create
function backup.verify(backup) end

---@class backup.test_restore.options
---@field counts? table test restore: rows by table that must be there
---@field tool? string path of pg_restore, mysql, mariadb or myloader; else RUNBOOK_PG_RESTORE, RUNBOOK_MYSQL, RUNBOOK_MARIADB, RUNBOOK_MYLOADER, then PATH
---@field tables? string[] restore: only these; the target may hold others
---@field jobs? integer parallel connections, 1; pg_restore without replace, and myloader
---@field replace? boolean restore: tables that are there already are replaced
---@field privileges? boolean restore with replace, PostgreSQL: what was granted on them comes back too (default true; false where its roles are not there)

---Restores a backup into a new database, counts every table, compares, and drops it again.
---@param backup any path, or a result of backup.create
---@param scratch? connection a spare server of the same engine; nil for SQLite, which needs none
---@param options? backup.test_restore.options what must be there besides the backup's own counts
---@return table {restored = true, tables, rows, counts, seconds}
function backup.test_restore(backup, scratch, options) end

---@class backup.restore.options
---@field counts? table test restore: rows by table that must be there
---@field tool? string path of pg_restore, mysql, mariadb or myloader; else RUNBOOK_PG_RESTORE, RUNBOOK_MYSQL, RUNBOOK_MARIADB, RUNBOOK_MYLOADER, then PATH
---@field tables? string[] restore: only these; the target may hold others
---@field jobs? integer parallel connections, 1; pg_restore without replace, and myloader
---@field replace? boolean restore: tables that are there already are replaced
---@field privileges? boolean restore with replace, PostgreSQL: what was granted on them comes back too (default true; false where its roles are not there)

---Restores a backup, or some of its tables, into a database.
---@param backup any path, or a result of backup.create
---@param target connection the database; its tables are replaced with replace = true only
---@param options? backup.restore.options how
---@return table {restored = true, tables, rows, counts, seconds}
function backup.restore(backup, target, options) end

---The backups in folders, newest first.
---@param folders string[] a folder or repository, or a list; copies of one backup are one entry
---@return table[] each as backup.create, and `age` in seconds, `whole`, `problem` where it does not count, `pinned` where it was
function backup.list(folders) end

---@class backup.policy.options
---@field from? string[] folders to look in; backup/
---@field every? string|number how often one is made; 24h
---@field grace? string|number how late it may be; a tenth of every
---@field keep? integer whole backups that must be there; 1
---@field restored? string|number the newest test-restored one must be younger; not asked
---@field rto? string|number the newest test restore took no longer; not asked
---@field shrink? number a backup smaller than this share of the one before is suspicious, and one of three times its size, or without a table that it had; 0.5, 0: not asked

---Whether a database has the backups that it should have.
---@param source connection the database
---@param options? backup.policy.options what must hold
---@return table {met, level = "ok" | "warning" | "critical", missed, age, why}: one missed backup is a warning, two in a row or none at all are critical
function backup.policy(source, options) end

---@class backup.prune.options
---@field keep? integer whole backups of each database that always stay; 1, and never less
---@field days? number keeps all that are younger than so many days
---@field within? string|number keeps all that are younger
---@field hourly? string|number keeps the newest of each hour, as long as it is younger
---@field daily? string|number the same for each day (UTC)
---@field weekly? string|number the same for each week (from Monday, UTC)
---@field preview? boolean only say what would go

---Removes backups that no rule keeps. The newest `keep` of each database, pinned and broken ones always stay.
---@param folders string[] a folder or repository, or a list
---@param options? backup.prune.options what stays
---@return table {kept, removed, preview}: lists of {file, why, started, bytes}
function backup.prune(folders, options) end

---Keeps a backup from being pruned.
---@param backup any path, or a result of backup.create
---@param why string noted beside it
function backup.pin(backup, why) end

---Lets a pinned backup go again.
---@param backup any path, or a result of backup.create
function backup.unpin(backup) end

---Copies a backup into another folder or repository, or out of one, and reads the copy back.
---@param backup any path, or a result of backup.create
---@param folder string made where it is missing; or a repository
---@return string path of the copy
function backup.copy_to(backup, folder) end

---Two databases of any engine compared row by row, with reads and rules of its own. What cannot be compared is reported as unchecked, never as a pass.
---@class verifylib
verify = {}

---@class verify.database.options
---@field mode? string "full" (every row), "counts" or "sample"; the last two never reach coverage 1
---@field tables? string[] only these tables; one that the source lacks is unchecked
---@field exclude? string[] tables left out on purpose
---@field omit_columns? string[] `table.column` that the target lacks on purpose
---@field rename? table { [source table] = "target table" }
---@field rules? any those of the copy that is judged: the source is read as they say (renamed, filtered, changed)
---@field schema? string PostgreSQL schema on either side (default public)
---@field snapshot? string an exported PostgreSQL snapshot to read the source at; no re-check then
---@field zero_dates? string "null": MySQL's 0000-00-00 counts as NULL
---@field sample? integer rows a table in mode sample (default 1000)
---@field samples? integer differing rows that are shown (default 20)
---@field recheck? integer how often differing rows are read again (default 3)
---@field recheck_delay? string|number before the first re-check, three times as long before each further one (default 250ms)
---@field values? boolean false: name differing columns without their values
---@field fence? fence what db.write_fence returned: fence_held says whether anything was written since it was closed, until the comparison had ended

---Compares two databases table by table, row by row.
---@param source connection a connection; the side that is believed
---@param target connection a connection; the side that is judged
---@param options? verify.database.options what to compare, and how
---@return table {coverage, mismatches, missing, extra, changed, unsettled, unchecked, rows, tables, samples, tables_seen, omitted_columns, only_in_target, match_ratio, passed, seconds}: coverage is 1 only if every row of every table was compared; unchecked lists {table, reason}; samples lists {table, key, kind, columns, text}; tables_seen:includes(names) asks for tables by name; fence_held (and fence_why) with the option fence
function verify.database(source, target, options) end

---@class verify.table.options
---@field mode? string "full" (every row), "counts" or "sample"; the last two never reach coverage 1
---@field tables? string[] only these tables; one that the source lacks is unchecked
---@field exclude? string[] tables left out on purpose
---@field omit_columns? string[] `table.column` that the target lacks on purpose
---@field rename? table { [source table] = "target table" }
---@field rules? any those of the copy that is judged: the source is read as they say (renamed, filtered, changed)
---@field schema? string PostgreSQL schema on either side (default public)
---@field snapshot? string an exported PostgreSQL snapshot to read the source at; no re-check then
---@field zero_dates? string "null": MySQL's 0000-00-00 counts as NULL
---@field sample? integer rows a table in mode sample (default 1000)
---@field samples? integer differing rows that are shown (default 20)
---@field recheck? integer how often differing rows are read again (default 3)
---@field recheck_delay? string|number before the first re-check, three times as long before each further one (default 250ms)
---@field values? boolean false: name differing columns without their values
---@field fence? fence what db.write_fence returned: fence_held says whether anything was written since it was closed, until the comparison had ended

---Compares one table row by row.
---@param source connection a connection; the side that is believed
---@param target connection a connection; the side that is judged
---@param name string the table's name in the source
---@param options? verify.table.options as for verify.database
---@return table as from verify.database
function verify.table(source, target, name, options) end

---@class verify.repair.options
---@field mode? string "full" (every row), "counts" or "sample"; the last two never reach coverage 1
---@field tables? string[] only these tables; one that the source lacks is unchecked
---@field exclude? string[] tables left out on purpose
---@field omit_columns? string[] `table.column` that the target lacks on purpose
---@field rename? table { [source table] = "target table" }
---@field rules? any those of the copy that is judged: the source is read as they say (renamed, filtered, changed)
---@field schema? string PostgreSQL schema on either side (default public)
---@field snapshot? string an exported PostgreSQL snapshot to read the source at; no re-check then
---@field zero_dates? string "null": MySQL's 0000-00-00 counts as NULL
---@field sample? integer rows a table in mode sample (default 1000)
---@field samples? integer differing rows that are shown (default 20)
---@field recheck? integer how often differing rows are read again (default 3)
---@field recheck_delay? string|number before the first re-check, three times as long before each further one (default 250ms)
---@field values? boolean false: name differing columns without their values
---@field fence? fence what db.write_fence returned: fence_held says whether anything was written since it was closed, until the comparison had ended

---Compares as verify.database does, and writes the statements that would make the target equal into a file of mode 0600. Nothing runs them. A table without a key gets none.
---@param source connection a connection; the side that is believed
---@param target connection a connection; the side that is judged
---@param file string its path; one that is there already is refused
---@param options? verify.repair.options as for verify.database
---@return table as from verify.database; repairs is the number of statements, not_repaired that of differences without one
function verify.repair(source, target, file, options) end

---@class verify.counts.options
---@field mode? string "full" (every row), "counts" or "sample"; the last two never reach coverage 1
---@field tables? string[] only these tables; one that the source lacks is unchecked
---@field exclude? string[] tables left out on purpose
---@field omit_columns? string[] `table.column` that the target lacks on purpose
---@field rename? table { [source table] = "target table" }
---@field rules? any those of the copy that is judged: the source is read as they say (renamed, filtered, changed)
---@field schema? string PostgreSQL schema on either side (default public)
---@field snapshot? string an exported PostgreSQL snapshot to read the source at; no re-check then
---@field zero_dates? string "null": MySQL's 0000-00-00 counts as NULL
---@field sample? integer rows a table in mode sample (default 1000)
---@field samples? integer differing rows that are shown (default 20)
---@field recheck? integer how often differing rows are read again (default 3)
---@field recheck_delay? string|number before the first re-check, three times as long before each further one (default 250ms)
---@field values? boolean false: name differing columns without their values
---@field fence? fence what db.write_fence returned: fence_held says whether anything was written since it was closed, until the comparison had ended

---Compares numbers of rows only; coverage stays 0, so it never stands for a verification.
---@param source connection a connection; the side that is believed
---@param target connection a connection; the side that is judged
---@param options? verify.counts.options as for verify.database
---@return table as from verify.database
function verify.counts(source, target, options) end

---The structure of databases: tables, columns, keys, indexes.
---@class schemalib
schema = {}

---@class schema.compare.options
---@field tables? string[] only these tables
---@field exclude? string[] tables left out on purpose
---@field rename? table { [source table] = "target table" }
---@field schema? string PostgreSQL schema on either side (default public)

---Says what of the source's structure the target lacks.
---@param source connection a connection; the side that is believed
---@param target connection a connection; the side that is judged
---@param options? schema.compare.options what to compare
---@return table {missing, different, omitted, others, only_missing_indexes, indexes, collations, duplicates, tables, passed}: the first four list {kind, table, name, detail}; duplicates counts groups of rows that break a unique key which the target lacks; indexes:has(table, name, {unique=, columns=}) and collations:only(name, …) ask about the target
function schema.compare(source, target, options) end

---Creates the indexes that schema.compare found missing in its target: what a checkpoint's repair does.
---@param result table from schema.compare; its target is the parameter that was compared
---@param target? connection a connection with access write, where the target was no parameter
---@return table {created}: names of the indexes
function schema.complete(result, target) end

---Files, confined to what the playbook declares in needs.files.
---@class fslib
fs = {}

---The whole text of a file of at most 64 MB.
---@param path string file; relative paths count from the working folder
---@return string its bytes
function fs.read(path) end

---Replaces a file as a whole: after a crash the old text is there, or the new one.
---@param path string file; made where there is none
---@param text any its new content, text or a secret
function fs.write(path, text) end

---Makes an empty file, or sets the time of one that exists.
---@param path string file
function fs.touch(path) end

---Removes a file or an empty folder; nothing happens where there is none.
---@param path string file or empty folder
---@return boolean true if there was one
function fs.remove(path) end

---Whether a file or folder exists.
---@param path string file or folder
---@return boolean true if it exists; an error where that cannot be known
function fs.exists(path) end

---The names in a folder, sorted; those of folders end in '/'.
---@param path string folder
---@return string[] names without the folder's own
function fs.list(path) end

---Makes a folder and those above it; nothing happens where it exists.
---@param path string folder
function fs.mkdir(path) end

---Copies a file; the target is replaced as a whole and keeps the source's mode.
---@param from string file to read
---@param to string file to make or replace
function fs.copy(from, to) end

---The lines of a file of at most 64 MB, without their ends.
---@param path string file
---@return string[] LF and CRLF end a line; a last one without an end counts
function fs.lines(path) end

---Gives a file or folder another name on the same file system, in one moment; a file that has the name is replaced.
---@param from string file or folder
---@param to string its new name
function fs.move(from, to) end

---What is known about a file or folder.
---@param path string file or folder; a symbolic link is followed
---@return table {type, link, size, modified, mode, owner, group}: type is file, folder or other, mode text such as 0640, modified a timestamp
function fs.stat(path) end

---Sets the permissions of a file or folder.
---@param path string file or folder
---@param mode string octal digits as text: 0640
function fs.chmod(path, mode) end

---The space of the file system that holds a path.
---@param path string file or folder
---@return table {total, free, free_ratio}: bytes; free is what this user may write
function fs.disk(path) end

---The paths that a pattern matches.
---@param pattern string as in a shell: backup/*.dump; ? and [a-z] too
---@return string[] sorted; folders end in /; empty where nothing matches
function fs.glob(pattern) end

---The bytes of a file.
---@param path string file
---@return integer its size in bytes
function fs.size(path) end

---The SHA-256 digest of a file.
---@param path string file
---@return string 64 hexadecimal digits
function fs.sha256(path) end

---HTTP requests, to the hosts that the playbook declares in needs.http.
---@class httplib
http = {}

---@class http.get.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a GET.
---@param url string http:// or https:// address
---@param options? http.get.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.get(url, options) end

---@class http.head.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a HEAD: status and headers.
---@param url string http:// or https:// address
---@param options? http.head.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.head(url, options) end

---@class http.post.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a POST.
---@param url string http:// or https:// address
---@param options? http.post.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.post(url, options) end

---@class http.put.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a PUT.
---@param url string http:// or https:// address
---@param options? http.put.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.put(url, options) end

---@class http.patch.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a PATCH.
---@param url string http:// or https:// address
---@param options? http.patch.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.patch(url, options) end

---@class http.delete.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a DELETE.
---@param url string http:// or https:// address
---@param options? http.delete.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.delete(url, options) end

---@class http.request.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The answer to a request of any method.
---@param method string GET, PATCH…; GET, HEAD and OPTIONS change nothing
---@param url string http:// or https:// address
---@param options? http.request.options what is sent, and what counts as success
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.request(method, url, options) end

---@class http.json.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The decoded JSON body of the answer to a GET.
---@param url string http:// or https:// address
---@param options? http.json.options what is sent, and what counts as success
---@return any the body; JSON's null as null
function http.json(url, options) end

---@class http.status.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---The status of the answer to a GET, whatever it is.
---@param url string http:// or https:// address
---@param options? http.status.options what is sent
---@return integer 200, 404, 503…
function http.status(url, options) end

---@class http.answers.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field body? any text or secret to send
---@field json? any value to send as JSON
---@field form? table fields to send as a form
---@field multipart? table fields of a multipart form: text, or { file = path, name =, type = }
---@field file? string a file to send as the body
---@field status? integer[] statuses that are success; 200 to 299
---@field any_status? boolean every status is success
---@field retry? table {attempts, initial, backoff, max_delay, statuses, unsafe}: after connection errors, 429, 502, 503, 504; only methods that may be repeated
---@field after? string|number waits so long before it asks
---@field reads? boolean the request changes nothing (a query by POST)

---Whether an address answers as it should; no answer is a result here, not an error.
---@param url string http:// or https:// address
---@param options? http.answers.options what is sent, and what counts as success
---@return table {up, status, elapsed} or {up = false, kind, error}
function http.answers(url, options) end

---A function that asks whether an address answers as it should: for checklists, monitors and toggles.
---@param url string http:// or https:// address
---@param options? table as for http.get
---@return function asked, it returns true or false; a probe of a checklist says why not
function http.probe(url, options) end

---Asks again and again until a function of the answer says true.
---@param url string http:// or https:// address
---@param test function gets the response (any status), says whether that is it
---@param options? table as for http.get, and within (1m), every (1s)
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.wait_until(url, test, options) end

---@class http.expect.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field status? integer[] statuses that are awaited; 200 to 299
---@field body? string text that the body contains
---@field json? table members of the JSON body, by dotted path: { ["database.adapter"] = "Mysql2" }
---@field within? string|number how long to ask again; without it, once
---@field every? string|number pause between two requests; 1s

---Asks again and again until the answer is as expected.
---@param url string http:// or https:// address
---@param options? http.expect.options what is awaited, and for how long
---@return table {status, headers, body, json, elapsed, url, attempts}; names of headers in lower case; `json` is the decoded body where the answer is of that type
function http.expect(url, options) end

---@class http.download.options
---@field headers? table name = text, number or secret
---@field query? table parameters added to the URL
---@field user? any basic authentication: user
---@field password? any basic authentication: password, best a secret
---@field bearer? any token, best a secret
---@field timeout? string|number of one attempt, to the last byte; 30s
---@field connect_timeout? string|number 10s
---@field follow? integer redirects that are followed; 5
---@field max_bytes? integer longest body; 16 MiB
---@field tls? table {verify, ca, cert, key}
---@field proxy? table {url, user, password}, instead of the environment's
---@field sha256? string digest that the file must have, in hex
---@field resume? boolean go on with what an interrupted download left beside the file; wants sha256
---@field retry? table {attempts, initial, backoff, max_delay, statuses}

---Loads a body into a file, which is replaced only when all of it is there.
---@param url string http:// or https:// address
---@param path string the file; what is not whole yet stands in PATH.partial beside it
---@param options? http.download.options digest, resuming, and what is sent
---@return table {path, bytes, sha256, resumed_from, attempts}
function http.download(url, path, options) end

---JSON text. JSON's null is the value `null`, never nil.
---@class jsonlib
json = {}

---@class json.encode.options
---@field pretty? boolean one member a line, indented by two
---@field sorted? boolean members in the order of their names, so that equal values give equal texts

---A value as JSON text. Secrets become "***"; a decimal becomes a string.
---@param value any table, text, number, boolean, null; a table with the keys 1 to n is an array, an empty one an object unless json.array made it
---@param options? json.encode.options how it is written
---@return string JSON in UTF-8
function json.encode(value, options) end

---The value of a JSON text; integers beyond 2^53 become exact decimals.
---@param text string JSON in UTF-8
---@return any tables, text, numbers, booleans, null
function json.decode(text) end

---The same list, marked to be an array in JSON also while it is empty.
---@param list any table with the keys 1 to n
---@return table a copy of the list
function json.array(list) end

---Lines for people, in the terminal view and the journal.
---@class loglib
log = {}

---A line that is shown only when asked for.
---@param ... any texts and values, joined by blanks; tables appear as JSON, secrets as ***
function log.debug(...) end

---A line of information.
---@param ... any texts and values, joined by blanks; tables appear as JSON, secrets as ***
function log.info(...) end

---A warning.
---@param ... any texts and values, joined by blanks; tables appear as JSON, secrets as ***
function log.warn(...) end

---A line about an error; it fails nothing.
---@param ... any texts and values, joined by blanks; tables appear as JSON, secrets as ***
function log.error(...) end

---Messages to people, through channels.
---@class notifylib
notify = {}

---@class notify.send.options
---@field to? string[] names of channels; console
---@field title? string what stands before the text; a mail's subject
---@field level? string info, warning, error or critical: routes go by it
---@field key? string sent at most once per key and channel in this run, also over a resume
---@field action? string of an incident: trigger (if left out), acknowledge or resolve
---@field incident? string which incident of this run; its key
---@field stage? string what a status page is told: scheduled, started, update, rollback, rolled_back, held, failed or done
---@field data? table further members of a generic webhook's message

---Sends a text. A message that cannot be delivered fails nothing, unless its channel is required.
---@param text string what people read; secrets in it become ***
---@param options? notify.send.options where to, and how
---@return table[] for each channel that takes messages of this level {channel, delivered, text, attempts, receipt, repeated} or {…, kind, error}
function notify.send(text, options) end

---@class notify.channel.options
---@field kind? string console, file, bell, webhook, slack, pagerduty, statuspage, smtp or route
---@field format? string webhook: generic (the message as JSON), slack ({"text": …}) or grafana (an annotation); file: text or json
---@field url? any where a webhook posts; best a secret
---@field headers? table name = text or secret
---@field token? any a secret: of a Slack app, of Statuspage's API, a webhook's bearer token
---@field channel? string where the Slack app posts
---@field key? any a secret: PagerDuty's integration key
---@field page? string the id of the status page
---@field components? string[] ids of the status page's components
---@field style? string of the status page: maintenance or incident
---@field api? string another address of the provider's API
---@field host? string the mail server
---@field port? integer 587; 465 with security = tls
---@field security? string starttls, tls or none
---@field from? string the mail's sender
---@field to? string[] addresses
---@field user? string of the mail server
---@field password? any a secret
---@field ca? string file with authorities, instead of the system's
---@field path? string of the file
---@field threads? boolean Slack app, mail: what follows the run's first message answers it; true
---@field level? string milder messages are not for it; info, PagerDuty: error
---@field rate? string the most in a time: 1/s, 30/m, 100/h; Slack and Statuspage 1/s, PagerDuty 2/s
---@field timeout? string|number of one attempt; 10s
---@field attempts? integer 8
---@field required? boolean a failed delivery fails the step
---@field info? string[] of a route: channels for this level and above
---@field warning? string[] the same
---@field error? string[] the same
---@field critical? string[] the same

---Declares a channel for this playbook; one of runbook.toml with that name is replaced.
---@param name string what `to` calls it
---@param options? notify.channel.options where it leads
function notify.channel(name, options) end

---Secrets: they print as ***, and only what needs one opens it.
---@class secretlib
secret = {}

---A secret from an environment variable.
---@param name string name of the variable
---@return secret its value
function secret.env(name) end

---A secret from a file that nobody else may read.
---@param path string file of at most 1 MB; relative paths count from the working folder
---@return secret its text without the last line ends
function secret.file(path) end

---What a program prints, as a secret. Nothing of it is shown or kept.
---@param argv string[] program and arguments; it has a minute
---@return secret its standard output without the last line ends
function secret.command(argv) end

---@class secret.vault.options
---@field field? string the one that is wanted; without it, a table of all

---Secrets from HashiCorp Vault. Credentials with a lease are renewed while the run goes on, and revoked at its end.
---@param path string as in Vault's HTTP API: secret/data/app (KV 2), database/creds/app
---@param options? secret.vault.options which field
---@return secret the field; or a table of secrets by field
function secret.vault(path, options) end

---@class secret.aws.options
---@field field? string the one that is wanted; without it, a table of all

---Secrets from AWS Secrets Manager, through the `aws` command and its logins.
---@param name string name or ARN of the secret
---@param options? secret.aws.options which field of a secret that is a JSON object
---@return secret the field; or a table of secrets by field
function secret.aws(name, options) end

---The secret that a reference names, as in `from` of a parameter.
---@param reference string env:NAME, file:PATH, vault:PATH#FIELD or aws:NAME#FIELD; aws without a field gives the whole text
---@return secret what lies there
function secret.open(reference) end

---Text with secrets in it, as one secret.
---@param text string each {name} is replaced; {{ and }} stand for braces
---@param parts table name = secret, text or number
---@return secret the whole; the journal keeps how it is made, not what it is
function secret.template(text, parts) end

---Commands on this host, as lists of words; no shell in between. `shell` is another name for `sh`.
---@class shlib
sh = {}

---Runs a command to its end. Its lines of output appear as they come.
---@param command string[] program and arguments, and options beside them: {"systemctl", "stop", unit, timeout = "30s"}
---@param options? table the same options, apart from the words
---@return table {exit, signal, out, err, elapsed, out_bytes, left}; `signal` only where one ended it (exit is then 128 + its number); `out` and `err` hold the last megabyte, `left` what the command left running
function sh.run(command, options) end

---Runs commands side by side, each one's output the next one's input.
---@param commands table[] list of commands, each as for sh.run with its own options (exit, env, cwd; stdin: the first); for all, beside them: timeout, reads
---@return table {out, members, elapsed}: `out` of the last, in `members` the result of every one
function sh.pipe(commands) end

---A word for a POSIX shell, quoted only where needed.
---@param word string any text
---@return string the word as a shell would have to read it
function sh.quote(word) end

---A script for a shell from a template: each {name} becomes a value, quoted.
---@param template string shell text; {name} outside of quotes is replaced, {{ is a brace
---@param values table name = text, number, boolean, or a list of them (several words)
---@return string the script, for sh.run { script, shell = true }
function sh.script(template, values) end

---Where a program is found.
---@param name string name of a program
---@return string its full path, or nil
function sh.which(name) end

---Commands on the hosts that the playbook declares in needs.ssh, through the system's OpenSSH and its keys; what runs there is outside of the other needs.
---@class sshlib
ssh = {}

---@class ssh.run.options
---@field port? integer of the user's configuration, else 22
---@field identity? string file with the private key to use
---@field known_hosts? string file with the keys of known hosts
---@field config? string file instead of ~/.ssh/config
---@field jump? string host to go through
---@field connect_timeout? string|number 10s

---Runs a command on another host to its end, as sh.run does on this one.
---@param target string host, user@host, or a Host of ~/.ssh/config
---@param command string[] program and arguments as for sh.run, and its options beside them; they arrive as they are, without a shell in between
---@param options? ssh.run.options of the connection
---@return table {exit, signal, out, err, elapsed, out_bytes, left}; `signal` only where one ended it (exit is then 128 + its number); `out` and `err` hold the last megabyte, `left` what the command left running
function ssh.run(target, command, options) end

---A host with the shape of `sh`, for libraries that take either.
---@param target string host, user@host, or a Host of ~/.ssh/config
---@param options? table of the connection, as for ssh.run
---@return table {target, run, quote, script}: `run(command, options)` runs there
function ssh.host(target, options) end

---This host: what it is doing now, and log files that grow.
---@class systemlib
system = {}

---Processors, memory and load of this host, as /proc tells them.
---@return table {cpus, busy_s, total_s, memory_total, memory_available, memory_used, load1, load5, load15}: seconds of all processors since the host started, bytes, and the share of the memory that is not available
function system.usage() end

---@class system.log.options
---@field from? string the mark of an earlier look; without it only marks the end
---@field matching? string[] texts: a line counts that contains one of them; every line where there are none
---@field but? string[] texts: a line that contains one does not count

---What was added to a log file since an earlier look.
---@param path string file; where it was renamed to PATH.1 meanwhile, the rest of that counts too
---@param options? system.log.options since when, and which lines count
---@return table {mark, lines, matches, first, lost}: mark is for the next look, lines are those that were added, matches of them those that count, first the first five of those; lost: the file was replaced, and the rest of it is gone
function system.log(path, options) end

---Points in time (timestamps: they compare, and their difference is in seconds) and durations.
---@class timelib
time = {}

---The time now, in UTC. A step that needs it again after a resume stores it in its result.
---@return timestamp microseconds and the offset 0
function time.now() end

---A timestamp as ISO 8601.
---@param timestamp any a timestamp
---@return string 2026-11-20T22:00:04.123456Z
function time.iso(timestamp) end

---@class time.parse.options
---@field format? string pattern of strptime(3): %d.%m.%Y %H:%M
---@field zone? string Europe/Berlin: where a text without an offset was written

---The timestamp that a text says.
---@param text string ISO 8601 or SQL: 2026-11-20T22:00:04.5Z, 2026-11-20 22:00:04+02
---@param options? time.parse.options another form of the text, and where it was written
---@return timestamp with the offset of the text or the zone, or none
function time.parse(text, options) end

---A timestamp in a form of its own.
---@param timestamp any a timestamp
---@param pattern string as strftime(3): %d.%m.%Y %H:%M %z; names of days in English
---@param zone? string Europe/Berlin; the timestamp's own offset where it is left out
---@return string the text
function time.format(timestamp, pattern, zone) end

---The same instant as a clock of that zone shows it.
---@param timestamp any a timestamp
---@param zone string Europe/Berlin, UTC: a name of the system's tzdata
---@return timestamp with the offset that the zone has then
function time.zone(timestamp, zone) end

---The parts of a timestamp.
---@param timestamp any a timestamp
---@param zone? string Europe/Berlin; the timestamp's own offset where it is left out
---@return table {year, month, day, hour, minute, second, weekday}; weekday 0 is Sunday
function time.parts(timestamp, zone) end

---The time so long after another.
---@param timestamp any a timestamp
---@param duration string|number 7d, 1h30m, or seconds; a day has 24 hours
---@return timestamp with the same offset
function time.after(timestamp, duration) end

---The time so long before another.
---@param timestamp any a timestamp
---@param duration string|number 7d, 1h30m, or seconds; a day has 24 hours
---@return timestamp with the same offset
function time.before(timestamp, duration) end

---The seconds of a duration.
---@param text string|number 30s, 10m, 1h30m, 7d, 250ms; a number is taken as seconds
---@return number seconds
function time.duration(text) end

---Seconds as a duration for people.
---@param seconds string|number number of seconds, or a duration
---@return string 1h30m, 250ms
function time.text(seconds) end

---The seconds that have gone by.
---@param timestamp any a timestamp
---@return number seconds from it to now; negative for one to come
function time.since(timestamp) end

---Whole databases from one engine to another, refused before the first row or complete.
---@class copylib
copy = {}

---@class copy.database.options
---@field streams? integer parallel streams, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of a MySQL target (default utf8mb4)
---@field collation? string collation of a MySQL target (default: the engine's exact one, under which nothing collides)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second, all streams together (default: no limit)
---@field chunk_bytes? integer one transaction (default 64000000)
---@field rules? any what becomes of types, tables and columns beyond the mapping: a list, see copy.rules
---@field zero_dates? string "null": MySQL's 0000-00-00 becomes NULL (PostgreSQL holds none)
---@field settings? table session variables of a MySQL target, as { net_read_timeout = 120 }
---@field schema_only? boolean tables, indexes and keys, without rows
---@field data_only? boolean rows into tables that are there: empty, and fit to hold them
---@field reject? string what becomes of a row that the target refuses: "fail" (default) ends the copy, "collect" leaves it out, in the table _runbook_rejects there with its reason
---@field rejects? integer how many rows may be rejected (default 0)
---@field reject_file? string gets the rejected rows too, as JSON lines, when the copy is done
---@field samples? integer sample keys a finding shows (default 5)
---@field resume? boolean of a copy of the same source that was cut off: true goes on with it or is refused, false begins anew (default: goes on where the fence proves that the source is as it was, else begins anew)
---@field fence? fence what db.write_fence returned: closed before the copy begins, it lets a copy that was cut off be gone on with
---@field snapshot_age? string|number the copy ends where its snapshot gets older: it holds back the source's clean-up (default 12h; 0: no limit)
---@field replicas? connection[] connections to replicas of the target, by whose lag the copy is slowed down; a PostgreSQL target knows its own
---@field lag_limit? string|number no chunk begins while a replica is further behind, or does not replicate (default 60s)
---@field load_limit? integer no chunk begins while either end has more active sessions of others (default: no limit)

---Copies all tables of a database into an empty one, of another engine or the same: schema, rows, indexes, foreign keys, sequences. Nothing is dropped, cut or rounded: what the target cannot hold is refused before a row is written.
---@param source connection a connection; read under one snapshot
---@param target connection a connection with access write; its database must be empty
---@param options? copy.database.options what to copy, and how
---@return table {tables, rows, bytes, rejected, seconds, preflight_s, load_s, index_s, streams, snapshot, run, resumed, resumed_rows, held_s, restarted, why_restarted, per_table, report, findings, mark}: mark is for copy.written_since; per_table lists {table, rows, bytes, chunks, seconds}; report says of every object {object, kind, outcome, reason}
function copy.database(source, target, options) end

---@class copy.table.options
---@field streams? integer parallel streams, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of a MySQL target (default utf8mb4)
---@field collation? string collation of a MySQL target (default: the engine's exact one, under which nothing collides)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second, all streams together (default: no limit)
---@field chunk_bytes? integer one transaction (default 64000000)
---@field rules? any what becomes of types, tables and columns beyond the mapping: a list, see copy.rules
---@field zero_dates? string "null": MySQL's 0000-00-00 becomes NULL (PostgreSQL holds none)
---@field settings? table session variables of a MySQL target, as { net_read_timeout = 120 }
---@field schema_only? boolean tables, indexes and keys, without rows
---@field data_only? boolean rows into tables that are there: empty, and fit to hold them
---@field reject? string what becomes of a row that the target refuses: "fail" (default) ends the copy, "collect" leaves it out, in the table _runbook_rejects there with its reason
---@field rejects? integer how many rows may be rejected (default 0)
---@field reject_file? string gets the rejected rows too, as JSON lines, when the copy is done
---@field samples? integer sample keys a finding shows (default 5)
---@field resume? boolean of a copy of the same source that was cut off: true goes on with it or is refused, false begins anew (default: goes on where the fence proves that the source is as it was, else begins anew)
---@field fence? fence what db.write_fence returned: closed before the copy begins, it lets a copy that was cut off be gone on with
---@field snapshot_age? string|number the copy ends where its snapshot gets older: it holds back the source's clean-up (default 12h; 0: no limit)
---@field replicas? connection[] connections to replicas of the target, by whose lag the copy is slowed down; a PostgreSQL target knows its own
---@field lag_limit? string|number no chunk begins while a replica is further behind, or does not replicate (default 60s)
---@field load_limit? integer no chunk begins while either end has more active sessions of others (default: no limit)

---Copies one table into an empty database.
---@param source connection a connection; read under one snapshot
---@param target connection a connection with access write; its database must be empty
---@param name string the table's name in the source
---@param options? copy.table.options as for copy.database
---@return table as from copy.database
function copy.table(source, target, name, options) end

---@class copy.preflight.options
---@field streams? integer parallel streams, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of a MySQL target (default utf8mb4)
---@field collation? string collation of a MySQL target (default: the engine's exact one, under which nothing collides)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second, all streams together (default: no limit)
---@field chunk_bytes? integer one transaction (default 64000000)
---@field rules? any what becomes of types, tables and columns beyond the mapping: a list, see copy.rules
---@field zero_dates? string "null": MySQL's 0000-00-00 becomes NULL (PostgreSQL holds none)
---@field settings? table session variables of a MySQL target, as { net_read_timeout = 120 }
---@field schema_only? boolean tables, indexes and keys, without rows
---@field data_only? boolean rows into tables that are there: empty, and fit to hold them
---@field reject? string what becomes of a row that the target refuses: "fail" (default) ends the copy, "collect" leaves it out, in the table _runbook_rejects there with its reason
---@field rejects? integer how many rows may be rejected (default 0)
---@field reject_file? string gets the rejected rows too, as JSON lines, when the copy is done
---@field samples? integer sample keys a finding shows (default 5)
---@field resume? boolean of a copy of the same source that was cut off: true goes on with it or is refused, false begins anew (default: goes on where the fence proves that the source is as it was, else begins anew)
---@field fence? fence what db.write_fence returned: closed before the copy begins, it lets a copy that was cut off be gone on with
---@field snapshot_age? string|number the copy ends where its snapshot gets older: it holds back the source's clean-up (default 12h; 0: no limit)
---@field replicas? connection[] connections to replicas of the target, by whose lag the copy is slowed down; a PostgreSQL target knows its own
---@field lag_limit? string|number no chunk begins while a replica is further behind, or does not replicate (default 60s)
---@field load_limit? integer no chunk begins while either end has more active sessions of others (default: no limit)

---Scans the source's data and says what a copy would meet: every value that the target would refuse or change, with table, column, count and sample keys. The target is not touched, a temporary table aside.
---@param source connection a connection; read under one snapshot
---@param target connection a connection; empty, as for the copy
---@param options? copy.preflight.options as for copy.database
---@return table {blocking, findings, report, rows, seconds}: blocking counts the findings that would stop a copy; findings lists {table, column, problem, count, samples, blocking, text}
function copy.preflight(source, target, options) end

---@class copy.plan.options
---@field streams? integer parallel streams, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of a MySQL target (default utf8mb4)
---@field collation? string collation of a MySQL target (default: the engine's exact one, under which nothing collides)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second, all streams together (default: no limit)
---@field chunk_bytes? integer one transaction (default 64000000)
---@field rules? any what becomes of types, tables and columns beyond the mapping: a list, see copy.rules
---@field zero_dates? string "null": MySQL's 0000-00-00 becomes NULL (PostgreSQL holds none)
---@field settings? table session variables of a MySQL target, as { net_read_timeout = 120 }
---@field schema_only? boolean tables, indexes and keys, without rows
---@field data_only? boolean rows into tables that are there: empty, and fit to hold them
---@field reject? string what becomes of a row that the target refuses: "fail" (default) ends the copy, "collect" leaves it out, in the table _runbook_rejects there with its reason
---@field rejects? integer how many rows may be rejected (default 0)
---@field reject_file? string gets the rejected rows too, as JSON lines, when the copy is done
---@field samples? integer sample keys a finding shows (default 5)
---@field resume? boolean of a copy of the same source that was cut off: true goes on with it or is refused, false begins anew (default: goes on where the fence proves that the source is as it was, else begins anew)
---@field fence? fence what db.write_fence returned: closed before the copy begins, it lets a copy that was cut off be gone on with
---@field snapshot_age? string|number the copy ends where its snapshot gets older: it holds back the source's clean-up (default 12h; 0: no limit)
---@field replicas? connection[] connections to replicas of the target, by whose lag the copy is slowed down; a PostgreSQL target knows its own
---@field lag_limit? string|number no chunk begins while a replica is further behind, or does not replicate (default 60s)
---@field load_limit? integer no chunk begins while either end has more active sessions of others (default: no limit)

---The statements that would make the schema in the target, in their order.
---@param source connection a connection; read under one snapshot
---@param target connection a connection; empty, as for the copy
---@param options? copy.plan.options as for copy.database
---@return string SQL
function copy.plan(source, target, options) end

---A list of rules, checked where it is declared: what a type, table or column becomes in a copy beyond the mapping. A rule names what it is about (type, schema, table, column, index; `*` matches in names), conditions (when), and what to do (to, using, rename, where, exclude, include, drop_default, drop_not_null, split). See docs/copy-and-verify.md.
---@param list any rules, as { { type = "uuid", to = "binary(16)" } }
---@return table the list, for the option rules of copy.database and verify.database
function copy.rules(list) end

---What the ledger in the target says about the last copy: the observe of a step that copies.
---@param target connection the connection copied into (or the source, with the target after it)
---@param other? connection the connection copied into, where the first one is the source
---@return string "done", "partial" or "absent"; as a second value {run, tables, rows, source, snapshot, running}
function copy.state(target, other) end

---How many rows were written to a copy since it was made, by anybody: what going back to its source would lose.
---@param target connection the connection copied into
---@param copied table the result of copy.database
---@return table as from db.written_since: {rows, tables, nothing}
function copy.written_since(target, copied) end

---Drops the tables that a copy made in the target, by its ledger, and the ledger; nothing else.
---@param target connection the connection copied into
---@return string[] names of the dropped tables
function copy.discard(target) end

---@class copy.follow_on.options
---@field streams? integer parallel streams of the copy, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of the target (default utf8mb4)
---@field collation? string collation of the target (default: the engine's exact one)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second of the copy (default: no limit)
---@field max_wal? integer bytes of its log that the source may have to keep; beyond it slot and publication are dropped (default 10000000000)

---Copies, and follows the source from the copy's snapshot on, beside everything else; copy.follow makes a step of it.
---@param source connection a PostgreSQL connection with access write, as the role that owns the tables and may replicate
---@param target connection a MySQL or MariaDB connection with access write
---@param options? copy.follow_on.options what to copy, how, and how much the source may have to keep
---@return table as from copy.database, where it copied; resumed: true where it had been copied before; follow: as from copy.follow_lag
function copy.follow_on(source, target, options) end

---Ends following for good: drops slot and publication at the source. What is in the target stays.
---@param source connection a PostgreSQL connection with access write, as the role that owns the tables and may replicate
---@param target connection a MySQL or MariaDB connection with access write
---@return boolean whether there was a slot
function copy.follow_off(source, target) end

---What the ledger in the target says about following.
---@param source connection a PostgreSQL connection
---@param target connection a MySQL or MariaDB connection
---@return string "on", "between" while it copies, "drained", or "off"
function copy.follow_state(source, target) end

---@class copy.follow_lag.options
---@field streams? integer parallel streams of the copy, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of the target (default utf8mb4)
---@field collation? string collation of the target (default: the engine's exact one)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second of the copy (default: no limit)
---@field max_wal? integer bytes of its log that the source may have to keep; beyond it slot and publication are dropped (default 10000000000)

---How far the target is behind, and what the source keeps for it. Goes on following where this process does not do so yet, as after a resume.
---@param source connection a PostgreSQL connection with access write, as the role that owns the tables and may replicate
---@param target connection a MySQL or MariaDB connection with access write
---@param options? copy.follow_lag.options what to copy, how, and how much the source may have to keep
---@return table {state, bytes, seconds, pending, transactions, changes, wal_kept, wal_limit, wal_bound, applied, source, slot, active}: bytes of the source's log and seconds that the target is behind, pending transactions, what was applied since the copy, bytes of the log that the slot keeps and may keep
function copy.follow_lag(source, target, options) end

---@class copy.follow_drain.options
---@field streams? integer parallel streams of the copy, 1 to 64 (default 4)
---@field tables? string[] only these tables; `*` matches (default "all")
---@field exclude? string[] tables left out on purpose
---@field charset? string character set of the target (default utf8mb4)
---@field collation? string collation of the target (default: the engine's exact one)
---@field schema? string PostgreSQL schema (default public)
---@field rate? number bytes a second of the copy (default: no limit)
---@field max_wal? integer bytes of its log that the source may have to keep; beyond it slot and publication are dropped (default 10000000000)

---The end of following, when nobody writes to the source any more: applies the rest, proves that nothing followed and no writer is open, sets AUTO_INCREMENT by the sequences, drops slot and publication.
---@param source connection a PostgreSQL connection with access write, as the role that owns the tables and may replicate
---@param target connection a MySQL or MariaDB connection with access write
---@param options? copy.follow_drain.options what to copy, how, and how much the source may have to keep
---@return table as from copy.follow_lag, and {drained_transactions, drained_changes, numbered, drain_s, mark}: mark is for copy.written_since
function copy.follow_drain(source, target, options) end

---A toggle that copies and keeps the copy up to date, from the copy's own snapshot on, until the cut-over.
---@param source connection a PostgreSQL connection with access write, as the role that owns the tables and may replicate
---@param target connection a MySQL or MariaDB connection with access write
---@param options? table see copy.follow_on
---@return table {on, off, drain, state, lag}: on, off and drain are actions for steps; lag() is as from copy.follow_lag
function copy.follow(source, target, options) end

---Digests, encodings and random values.
---@class cryptolib
crypto = {}

---The SHA-256 digest of a text.
---@param text string|secret text, or a secret
---@return string hexadecimal digits in lower case
function crypto.sha256(text) end

---The SHA-512 digest of a text.
---@param text string|secret text, or a secret
---@return string hexadecimal digits in lower case
function crypto.sha512(text) end

---The digest of a file, read in blocks.
---@param path string file
---@param algorithm? string sha256, sha512, sha1 or md5; sha256 where it is left out
---@return string hexadecimal digits in lower case
function crypto.file(path, algorithm) end

---The keyed digest of a text (RFC 2104), for signed requests.
---@param key string|secret text, best a secret
---@param text string|secret text, or a secret
---@param algorithm? string sha256, sha512, sha1 or md5; sha256 where it is left out
---@return string hexadecimal digits in lower case
function crypto.hmac(key, text, algorithm) end

---A text in base64 (RFC 4648). Of a secret it is a secret.
---@param text string|secret text, or a secret
---@return string text, or a secret
function crypto.base64(text) end

---The text that base64 stands for; both alphabets, with or without padding. Of a secret it is a secret.
---@param text string|secret text, or a secret
---@return string text, or a secret
function crypto.unbase64(text) end

---A text in hexadecimal digits. Of a secret it is a secret.
---@param text string|secret text, or a secret
---@return string text, or a secret
function crypto.hex(text) end

---The text that hexadecimal digits stand for. Of a secret it is a secret.
---@param text string|secret text, or a secret
---@return string text, or a secret
function crypto.unhex(text) end

---Random bytes of the system, in hexadecimal digits. A step that needs them again after a resume stores them in its result.
---@param bytes? integer how many, 1 to 1024; 16 where it is left out
---@return string twice as many hexadecimal digits
function crypto.random(bytes) end

---A random UUID (version 4).
---@return string 36 characters in lower case
function crypto.uuid() end

---Whether two texts are the same, in a time that does not tell where they differ; also for secrets.
---@param a string|secret text, or a secret
---@param b string|secret text, or a secret
---@return boolean true if they are
function crypto.equal(a, b) end

---Names and TCP ports, of the hosts that the playbook declares in needs.net. The hosts of its databases, its url parameters and needs.http are allowed too.
---@class netlib
net = {}

---@class net.resolve.options
---@field timeout? string|number 5s

---The IP addresses of a host name.
---@param host string a name, or an IP address
---@param options? net.resolve.options how long it may take
---@return string[] in the order in which this system would try them
function net.resolve(host, options) end

---@class net.tcp.options
---@field timeout? string|number of one attempt; 5s
---@field within? string|number how long to try again; without it, once
---@field every? string|number pause between two attempts; 1s

---Connects to a port and closes again; raises where nobody answers.
---@param address string host:port; [::1]:5432 for an IPv6 address
---@param options? net.tcp.options how long it may take
---@return table {address, port, elapsed, attempts}: the IP address that answered
function net.tcp(address, options) end

---@class net.reachable.options
---@field timeout? string|number of one attempt; 5s
---@field within? string|number how long to try again; without it, once
---@field every? string|number pause between two attempts; 1s

---Whether somebody answers at a port; no answer is a result here, not an error.
---@param address string host:port; [::1]:5432 for an IPv6 address
---@param options? net.reachable.options how long it may take
---@return boolean true if a connection came about
function net.reachable(address, options) end

---Certificates in files (needs.files) and of live servers (needs.net).
---@class tlslib
tls = {}

---@class tls.check.options
---@field ca? string file with the authorities; for a server this system's where it is left out
---@field cert? string file with a certificate; shown to a server that asks for one
---@field key? string file with its private key
---@field key_password? string|secret password of that key, best a secret
---@field host? string name or IP address that the certificate must be for; for a server that of its address where it is left out
---@field starttls? string postgres or mysql, whose servers begin without TLS
---@field timeout? string|number for a server; 10s
---@field server? string host:port whose certificate is looked at
---@field valid_for? string|number how long everything must stay valid: 30d

---Raises, with everything that is wrong, unless the certificates are good: readable, in their time now and for valid_for, signed by the authorities, key and certificate belong together, the name fits.
---@param options? tls.check.options which files, or which server, and what must hold
---@return boolean true, so that it can be what a probe returns
function tls.check(options) end

---The certificates of a file, in its order.
---@param path string file in PEM form
---@return table[] {subject, issuer, names, not_before, not_after, serial, sha256, key, authority}
function tls.read(path) end

---@class tls.server.options
---@field ca? string file with the authorities; for a server this system's where it is left out
---@field cert? string file with a certificate; shown to a server that asks for one
---@field key? string file with its private key
---@field key_password? string|secret password of that key, best a secret
---@field host? string name or IP address that the certificate must be for; for a server that of its address where it is left out
---@field starttls? string postgres or mysql, whose servers begin without TLS
---@field timeout? string|number for a server; 10s

---What a live server presents, trusted or not.
---@param address string host:port
---@param options? tls.server.options who is trusted, and how the server is asked
---@return table {version, cipher, address, trusted, problem, chain}; chain: certificates as in tls.read, the server's own first
function tls.server(address, options) end

---CSV text (RFC 4180). Fields are text; with a header, records are tables by its names.
---@class csvlib
csv = {}

---A file of records, read as it is needed.
---@class csv_reader
---@field next function see the function of the same name

---@class csv.decode.options
---@field separator? string one character; a comma
---@field header? boolean false: the first record holds no names; records are then lists

---The records of a CSV text.
---@param text string CSV
---@param options? csv.decode.options its form
---@return table[] records, name = text; without a header lists of texts
function csv.decode(text, options) end

---@class csv.encode.options
---@field separator? string one character; a comma
---@field header? boolean false: the first record holds no names; records are then lists
---@field columns? string[] fields in their order; those of the first record

---Records as CSV text; null is an empty field.
---@param records any list of tables: name = value, or lists of values
---@param options? csv.encode.options its form
---@return string CSV; lines end in CRLF, as RFC 4180 says
function csv.encode(records, options) end

---@class csv.open.options
---@field separator? string one character; a comma
---@field header? boolean false: the first record holds no names; records are then lists

---A reader of a file; csv.rows is easier.
---@param path string file
---@param options? csv.open.options its form
---@return csv_reader for csv.next
function csv.open(path, options) end

---The next records of a reader.
---@param reader csv_reader from csv.open; used by one task at a time
---@param count integer how many at most
---@return table[] fewer, or none, at the end
function csv.next(reader, count) end

---Iterates over the records of a file of any size.
---@param path string file
---@param options? table its form, as for csv.decode
---@return function for record in csv.rows(path) do … end
function csv.rows(path, options) end

---Redis servers, those that the playbook declares in needs.redis.
---@class redislib
redis = {}

---A connection to a Redis server.
---@class redis_connection
---@field url string its address, without user and password
---@field ping function see the function of the same name
---@field get function see the function of the same name
---@field exists function see the function of the same name
---@field ttl function see the function of the same name
---@field keys function see the function of the same name
---@field size function see the function of the same name
---@field info function see the function of the same name
---@field set function see the function of the same name
---@field expire function see the function of the same name
---@field delete function see the function of the same name
---@field delete_matching function see the function of the same name
---@field flush function see the function of the same name
---@field publish function see the function of the same name
---@field call function see the function of the same name

---@class redis.connect.options
---@field user? string name of an ACL user; the default user
---@field password? string|secret best a secret parameter
---@field tls? table {verify, ca, cert, key}, for rediss://
---@field timeout? string|number of connecting, and of each command; 10s

---A Redis server, or Valkey. It is reached with the first command.
---@param url string redis://host:6379/0, rediss:// for TLS
---@param options? redis.connect.options who one is, and whom one trusts
---@return redis_connection closed when nobody uses it any more
function redis.connect(url, options) end

---True, or an error: whether the server answers.
---@param connection redis_connection from redis.connect
---@return boolean true
function redis.ping(connection) end

---The text of a key.
---@param connection redis_connection from redis.connect
---@param key string its name
---@return string nil where there is no such key
function redis.get(connection, key) end

---Whether there is a key.
---@param connection redis_connection from redis.connect
---@param key string its name
---@return boolean true if there is
function redis.exists(connection, key) end

---How long a key still lives.
---@param connection redis_connection from redis.connect
---@param key string its name
---@return number seconds; nil where there is no such key, or it lives for ever
function redis.ttl(connection, key) end

---@class redis.keys.options
---@field limit? integer with more keys nothing happens and redis.limit is raised; 1000000

---The names that match a pattern, looked for in batches (SCAN), so that others are not kept waiting.
---@param connection redis_connection from redis.connect
---@param pattern string as in Redis: sessions:*, ? and [a-z] too
---@param options? redis.keys.options how many are too many
---@return string[] each once, sorted
function redis.keys(connection, pattern, options) end

---How many keys the database has.
---@param connection redis_connection from redis.connect
---@return integer keys
function redis.size(connection) end

---What the server says about itself (INFO).
---@param connection redis_connection from redis.connect
---@param section? string server, memory, replication…; the default ones where it is left out
---@return table name = text or number
function redis.info(connection, section) end

---@class redis.set.options
---@field ttl? string|number how long it lives; for ever

---Sets the text of a key.
---@param connection redis_connection from redis.connect
---@param key string its name
---@param value string|secret text, or a secret
---@param options? redis.set.options how long it lives
function redis.set(connection, key, value, options) end

---Gives a key a time to live.
---@param connection redis_connection from redis.connect
---@param key string its name
---@param ttl string|number how long from now
---@return boolean false where there is no such key
function redis.expire(connection, key, ttl) end

---Removes keys by their names.
---@param connection redis_connection from redis.connect
---@param keys string[] a name, or a list of names
---@return integer how many there were
function redis.delete(connection, keys) end

---@class redis.delete_matching.options
---@field limit? integer with more keys nothing happens and redis.limit is raised; 1000000

---Removes the keys that match a pattern. They are counted first: with more than the limit nothing is removed. A pattern that matches everything is refused.
---@param connection redis_connection from redis.connect
---@param pattern string with a prefix: firestore:*
---@param options? redis.delete_matching.options how many are too many
---@return integer how many were removed
function redis.delete_matching(connection, pattern, options) end

---Removes every key of the connection's database; its number must be said.
---@param connection redis_connection from redis.connect
---@param database integer the number in the connection's address
function redis.flush(connection, database) end

---Sends a message to a channel.
---@param connection redis_connection from redis.connect
---@param channel string its name
---@param message string text
---@return integer how many received it
function redis.publish(connection, channel, message) end

---@class redis.call.options
---@field reads? boolean the command changes nothing

---Any other command.
---@param connection redis_connection from redis.connect
---@param words string[] the command and its arguments, as a list
---@param options? redis.call.options what it does
---@return any text, integer, null, a list of them
function redis.call(connection, words, options) end

---Texts with places to fill in: {name}, {server.port}; {{ and }} are braces.
---@class templatelib
template = {}

---@class template.render.options
---@field escape? string how values are written: html, shell (one word each), json, url, or systemd (in quotes of a unit file); as they are where it is left out

---A text with its places filled in. Where one of the values is a secret, so is the result.
---@param text string text with {name}
---@param values table name = text, number, boolean, timestamp or secret, or a table of them
---@param options? template.render.options how values are written
---@return string text, or a secret
function template.render(text, values, options) end

---@class template.file.options
---@field escape? string how values are written: html, shell (one word each), json, url, or systemd (in quotes of a unit file); as they are where it is left out

---The text of a file with its places filled in, as template.render does.
---@param path string file with {name}
---@param values table as for template.render
---@param options? template.file.options how values are written
---@return string text, or a secret
function template.file(path, values, options) end

---TOML text (1.0).
---@class tomllib
toml = {}

---The table that a TOML text says; integers are exact, a date with a time is a timestamp, a date or a time alone is text.
---@param text string TOML in UTF-8
---@return table tables, lists, text, numbers, booleans, timestamps
function toml.decode(text) end

---A table as TOML text, keys in order. Comments of a text that was decoded are not kept: change single lines of people's files with config.
---@param value any table; null and secrets have no form in TOML
---@return string TOML in UTF-8
function toml.encode(value) end

---YAML text (1.2, core schema): only true and false are booleans, only null and ~ are null; yes, no, on, off and 12:30 are text.
---@class yamllib
yaml = {}

---The value of a YAML text of one document; integers are exact.
---@param text string YAML in UTF-8
---@return any tables, text, numbers, booleans, null
function yaml.decode(text) end

---The values of all documents of a YAML text.
---@param text string YAML in UTF-8, documents separated by ---
---@return table list of values
function yaml.documents(text) end

---A value as YAML text in block style. Text that some reader would take for a number, a boolean or a date is quoted.
---@param value any table, text, number, boolean, null; secrets have no form in YAML
---@return string YAML in UTF-8
function yaml.encode(value) end

---Tables with methods and numbers with units, for libraries.
---@class valueslib
values = {}

---A type of tables whose methods are there again when a result comes back from the journal. A library makes it while the file loads.
---@param name string its own name and a dot first: "shop.rows"
---@param methods table name = function(self, …)
---@return function makes a value of that type of a table, and returns it
function values.type(name, methods) end

---A number with its unit, from text.
---@param text string "5 %", "200ms", "10 GB" or "10/min"
---@return table? {number, unit}: unit is ratio, seconds, bytes or per_second; nil where the text has no unit
function values.quantity(text) end

---A number with its unit, as text for people.
---@param number number how much
---@param unit? string ratio, seconds, bytes, per_second or count; the number alone where it is left out
---@return string "5 %", "200ms", "10.0 GB"
function values.quantity_text(number, unit) end

---@class playbook.options
---@field ask? table within, escalate, otherwise, role: how long a question waits, who is asked next, and what then happens
---@field goals? any[] targets that the report compares with what was reached
---@field lock? strings names that no other run of the journal may hold meanwhile; a parameter's name stands for its value
---@field needs? table what may be touched: shell, ssh, http, files, net, redis
---@field params? table parameters; each is a command-line option
---@field roles? table role = title
---@field rollback? table within: time budget; ways: names
---@field schedule? any when `runbook due FILE` starts it by itself: { at = "02:00 Europe/Berlin" }, { every = "1h" }, or a list of them
---@field start? string T, the date that others count from: Thursday 07:00 Europe/Berlin, or ISO 8601; --start replaces it
---@field summary? string one line: what it is for
---@field updates? table who is told how it goes, and how often
---@field window? table from, to, target, max: the time traffic is closed

---The header: what it is for, its parameters, and what it may touch. Returns the parameters.
---@param name string shown to people; unique in the file
---@param options playbook.options what it is and does
function playbook(name, options) end

---@class step.options
---@field beside? string runs beside the steps up to this one, joined there
---@field capture? function what must be known before; later ctx.saved
---@field failure? string continue: go on when it failed
---@field hints? table what to do, by error kind
---@field idempotent? boolean safe to run again when in doubt
---@field loses? function rows a rollback from here would lose
---@field manual? string a person does it and says so
---@field not_before? string waits until then: T+1h, or a date; the only wait there is
---@field observe? function asked when in doubt: done, absent, partial or unknown
---@field only_if? any skipped unless true; a value or a function
---@field overdue? any a duration after which it says so, or { after =, verdict = ask "role" }: asks while the work goes on
---@field owner? string role that is responsible
---@field resumable? boolean partly done: run goes on, instead of being undone first; ctx.partial is true
---@field retry? table when and how often again
---@field run? function the work; what it returns is step.result
---@field says? string posted when it is done; {result.x} is filled in
---@field stall? string|number no progress for that long ends the attempt (kind stall); ctx.progress, native work and output lines are progress
---@field stays? string why a toggle is left on
---@field takes? string|number estimate, for the plan; never a wait
---@field timeout? string|number bounds one attempt
---@field undo? any a function, keep "why", or one function per way
---@field undo_retry? table retry of the undo
---@field verify? function post-condition; false or an error fails the attempt

---One unit of work. Returns a handle whose .result later steps read.
---@param name string shown to people; unique in the file
---@param options step.options what it is and does
function step(name, options) end

---@class checkpoint.options
---@field fail? table decision table for what did not pass
---@field hints? table what to do, by error kind
---@field on? string rollback: met only on the way back
---@field only_if? any skipped unless true; a value or a function
---@field owner? string role that is responsible
---@field pass? function must return true
---@field retry? table when and how often again
---@field run? function looks; changes nothing
---@field says? string posted when it is done; {result.x} is filled in
---@field takes? string|number estimate, for the plan; never a wait
---@field timeout? string|number bounds one look

---Looks, and passes only where pass returns true; fail is a decision table.
---@param name string shown to people; unique in the file
---@param options checkpoint.options what it is and does
function checkpoint(name, options) end

---@class gate.options
---@field all_of? strings roles that must all say yes
---@field ask? any the question; text or a function that returns it
---@field at? string when it is planned: T-30m; then it may be answered before it opens
---@field escalate? strings role, or a list of them, asked one after the other, each for another `within`
---@field not_initiator? boolean who started the run may not say yes
---@field otherwise? any when nobody answers: rollback, hold, or a verdict
---@field owner? string role that is responsible
---@field people? number how many different people must say yes (1)
---@field role? strings who decides; of a list, any of them
---@field takes? string|number estimate
---@field within? string|number how long it waits

---A person decides before the run goes on.
---@param name string shown to people; unique in the file
---@param options gate.options what it is and does
function gate(name, options) end

---@class checklist.options
---@field due? string when it is due: T-7d; then its items may be confirmed before the run gets there
---@field escalate? strings role, or a list of them, asked one after the other, each for another `within`
---@field fail? table decision table over { items, failed, critical_failed }; without it: hold where there is a due date, else rollback
---@field otherwise? any when not all have answered in time: rollback, hold, or a verdict
---@field owner? string role that is responsible; waives probes
---@field takes? string|number estimate
---@field through? any how people get to what they look at; shown to them
---@field valid? string|number how old a confirmation may be when the run gets there
---@field within? string|number how long it waits for people

---Items that must all hold: probe(text, fn) by the machine, confirm(role, text) by people.
---@param name string shown to people; unique in the file
---@param options checklist.options what it is and does
function checklist(name, options) end

---@class notice.options
---@field after? string|number how long after T
---@field at? string when: T-7d, or a date
---@field owner? string role that is responsible
---@field template? string file with the text
---@field text? string what is said; {start}, {playbook}, {summary} are filled in
---@field to? strings channels

---An announcement on a date, to channels of runbook.toml.
---@param name string shown to people; unique in the file
---@param options notice.options what it is and does
function notice(name, options) end

---@class followup.options
---@field after? string|number how long after the run's end
---@field ask? string the question of the gate
---@field at? string when: Friday 09:00 Europe/Berlin, the first one after the run
---@field every? string|number again and again, the first after this or after `after`
---@field gate? table who lets it run: the options of gate
---@field idempotent? boolean safe to run again when in doubt
---@field manual? string a person does it and says so
---@field observe? function asked when in doubt: done, absent, partial or unknown
---@field owner? string role that is responsible
---@field retry? table when and how often again
---@field role? string who lets it run; short for gate = { role = … }
---@field run? function the work; the handles of the playbook have the results of the run
---@field takes? string|number estimate
---@field template? string file whose text is posted at the end, {result.x} filled in
---@field text? string the text itself, instead of template
---@field timeout? string|number bounds one attempt
---@field times? number how often, with every
---@field to? strings channels of the template
---@field undo? any a function or keep "why"; with a gate, what it does is kept if left out

---What happens hours or days after a run that succeeded; `runbook due` starts it.
---@param name string shown to people; unique in the file
---@param options followup.options what it is and does
function followup(name, options) end

---@class on_rollback.options
---@field owner? string role that sees to it
---@field tasks? any[] what people do after a rollback: { "what", by = "1h" }

---What people have to do after a rollback, each by a time: told at its end.
---@param name string shown to people; unique in the file
---@param options on_rollback.options what it is and does
function on_rollback(name, options) end

---@class history.options
---@field env? string environment of the runs
---@field rollback? boolean a whole rollback must have been run too
---@field source? string any: a run of another version of the playbook counts too
---@field within? string|number how long ago they may have begun

---Facts from earlier runs of the same playbook: history.rehearsed{env, within, rollback}, history.rolled_back{env, within, below}, both for a probe; history.last{env} in a function that runs later.
---@param options history.options what it is and does
function history(options) end

---@class toggle.options
---@field off? function switches off
---@field on? function switches on
---@field state? function on, off or nil for unknown

---A temporary state: on and off are each other's undo, state is the observe.
---@param options toggle.options what it is and does
function toggle(options) end

---A heading in the plan.
---@param name string shown to people; unique in the file
function phase(name) end

---@class probe.options
---@field critical? boolean counted in critical_failed; only who it is escalated to may waive it

---An item of a checklist that the machine checks.
---@param text string what must hold
---@param fn function returns true where it does
---@param options? probe.options what it is and does
function probe(text, fn, options) end

---@class confirm.options
---@field critical? boolean counted in critical_failed; only who it is escalated to may waive it
---@field evidence? string what must be given with it: url, ticket or another word
---@field not_initiator? boolean who started the run may not confirm it
---@field people? number how many different people (1)

---An item of a checklist that a person confirms.
---@param role string who
---@param text string what
---@param options? confirm.options what it is and does
function confirm(role, text, options) end

---The way back of a step whose effect stays on purpose.
---@param why string shown in the report
function keep(why) end

---Verdict: go back.
---@param why string the reason
---@param more? table way = name of the way
function rollback(why, more) end

---Verdict: stop here, resumable.
---@param why string the reason
function hold(why) end

---Verdict: a person of the role decides: roll back, hold, or go on.
---@param role string role, or a list of them
function ask(role) end

---Verdict: run fn once and judge again.
---@param why string what is repaired
---@param fn function gets what the checkpoint saw
function repair(why, fn) end

---Verdict: undo back to and including that step, and go forward again from it; once, then a rollback.
---@param step string an earlier step
---@param more? table times = how often, instead of once
function redo(step, more) end

---Verdict: wait between two steps or sub-steps; of a monitor until its rule is fine again, else until `runbook resume`.
---@param why string the reason
function pause(why) end

---Verdict of a monitor: cancel the statement in progress in the server; the step's retry decides what follows (error kind cancelled.statement).
---@param why string the reason
function cancel_statement(why) end

---Verdict: go on, but say it.
---@param channel string channel, or a list of them
function tell(channel) end

---@class monitor.options
---@field every? string|number how often it looks
---@field from? string step or phase that it begins with
---@field lasts? string|number how long after `from` it goes on; the run stays until then
---@field no_data? any verdict after three samples without data, or { verdict, after = n }; the severest of its rules if left out
---@field owner? string role that is responsible
---@field stale? string|number a sample that says it is older than this is no data; three times `every` if left out
---@field timeout? string|number bounds one sample; `every`, at least 5s, if left out
---@field to? string step that it ends with

---Watches beside later steps. Each rule is { sample, above =, below =, outside = or is =, verdict = }; the sample returns a value, or { value =, requests =, at =, why = }. Of a sample that counts in a unit (those of the module watch, or unit = in the rule), a level has to say it: "200ms", "5 %".
---@param name string shown to people; unique in the file
---@param options monitor.options what it is and does
function monitor(name, options) end

---A level of a monitor against a baseline: relative(0.5, fn) is half as much again.
---@param by number part of the baseline
---@param fn? function returns the baseline; the first sample of the run if left out
function relative(by, fn) end

---A level of a monitor against a baseline: points(0.1, fn) is that much more.
---@param by number distance from the baseline
---@param fn? function returns the baseline; the first sample of the run if left out
function points(by, fn) end

---What a library returns for `step "x" { library.thing(), … }`: run, undo, observe, capture.
---@param table table the functions
function action(table) end

---Raises where the value is not true; expect.none(list, what), expect.equal(actual, expected, what).
---@param value any must be true
---@param what? string for the message
function expect(value, what) end

---Runs functions side by side and returns their results by name (or place). The first failure cancels the others and waits for them. Inside functions that run.
---@param functions table name = function, or a list
function parallel(functions) end

---Runs functions side by side; the first success wins, the others are cancelled and waited for. Returns its result and its name.
---@param functions table name = function, or a list
function race(functions) end

---@class every.options
---@field times? number calls at most
---@field until_? function gets what fn returned; true ends it
---@field within? string|number how long at most

---Calls fn at an interval: until until_(result) is true (returned; kind timeout where it never was), or as often or as long as given.
---@param interval string|number from start to start
---@param fn function gets the number of the call
---@param options every.options when it ends; one of them is needed
function every(interval, fn, options) end

---Waits. From one second on its end is kept in the journal: after a restart only the rest is slept.
---@param duration string|number how long
function sleep(duration) end

---Runs fn under a time limit and returns what it returns; kind timeout where it takes longer.
---@param duration string|number the limit
---@param fn function the work
function deadline(duration, fn) end

---An exact decimal from text.
---@param text string digits, as "12.50"
function decimal(text) end

---A module beside the playbook, or of the standard library.
---@param name string dots are folders
function require(name) end

---Writes a line into the log of the run.
---@param ... any shown side by side
function print(...) end


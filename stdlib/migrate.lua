-- Migrations of a database that are files of SQL with a version: 009_add_orders.sql, with 009_add_orders.down.sql for the way back.
--   local migrate = require "migrate"
--   local plan = step "plan" { run = function() return migrate.plan(p.prod, "migrations/") end }
--   step "migrate" { capture = function() return { version = migrate.version(p.prod) } end,
--     run = function(ctx) return migrate.up(p.prod, { plan = plan.result, each = ctx.step }) end,
--     undo = function(ctx) migrate.down(p.prod, { to = ctx.saved.version }) end }
-- PostgreSQL and SQLite: a migration and its row in _runbook_migrations are one transaction, so it is there or it is not. What cannot be in a transaction
-- (CREATE INDEX CONCURRENTLY; on MySQL and MariaDB every DDL) counts statement by statement.
local arguments, declare, ddl = require "arguments", require "declare", require "ddl"
local ledger, files, statements = require "migrate.ledger", require "migrate.files", require "migrate.statements"
local M, def = declare.module("migrate", "Versioned migrations of a database: files of SQL, planned, applied once, and undone.",
  'needs = { files = { "migrations/" } }; database parameters with access = "write"')
local connection_of = { "connection", "connection", "PostgreSQL, MySQL, MariaDB or SQLite" }
local errors = { "migrate.locked", "migrate.abandoned", "migrate.changed", "ddl.blocked", "db.connection", "db.auth", "db.permission", "db.timeout", "db.deadlock", "db.syntax", "db.constraint",
  "db.read_only", "db.error", "fs", "permission" }
local reading = { "db.connection", "db.auth", "db.permission", "db.error" }

local function with_each(more)
  more.each = { "function", "ctx.step: each migration is a sub-step" }
  more.lock_timeout = { "duration", "how long a statement may wait for a lock", default = "3s" }
  more.lock_retries = { "count", "how often it is tried again", default = 20 }
  more.pause = { "duration", "between two tries", default = "2s" }
  return more
end

local function patience(o) return { lock_timeout = o.lock_timeout, lock_retries = o.lock_retries, pause = o.pause } end
local function is_mysql(connection) return connection.engine == "mysql" end
local function label(one) return ("%03d %s"):format(one.version, one.name) end

local function part(o, name, spec)
  if o.each then return o.each(name, spec) end
  return spec.run()
end

-- --- the plan ------------------------------------------------------------------------------------------------------------------------

-- What is wrong between the folder and the database, or nothing.
local function compare(folder, by, rows, known, out_of_order)
  local newest = 0
  for _, row in ipairs(rows) do
    local one = by[row.version]
    newest = row.state == "done" and math.max(newest, row.version) or newest
    if not one then
      error { kind = "migrate.missing", message = ("%s was applied on %s, and %s has no file for it"):format(label(row), row.began:sub(1, 10), folder),
        hint = "it is on another branch, or was removed: bring it back (git log -- " .. folder .. ")" }
    end
    if one.checksum ~= row.checksum then
      error { kind = "migrate.edited", message = ("%s%s was edited after it ran on %s"):format(folder, one.file, row.began:sub(1, 10)),
        hint = ("put it back (git log -p %s%s) and write the change as a migration of its own; where only comments changed: migrate.accept(connection, \"%s\", %d)"):format(
          folder, one.file, folder, row.version) }
    end
  end
  for version, one in pairs(by) do
    if not known[version] and version < newest and not out_of_order then
      error { kind = "migrate.order", message = ("%s%s is older than %d, which was applied"):format(folder, one.file, newest),
        hint = ("give it a version above %d; or say { out_of_order = true } where it cannot matter"):format(newest) }
    end
  end
  return newest
end

local function sentence(pending)
  if #pending == 0 then return "no migration" end
  local names, worst, why = {}, "low", nil
  for i, one in ipairs(pending) do
    names[i] = label(one)
    if statements.severity[one.risk] > statements.severity[worst] then worst, why = one.risk, ("%s: %s"):format(label(one), one.why) end
  end
  return ("%d migration%s (%s), risk %s%s"):format(#pending, #pending == 1 and "" or "s", table.concat(names, ", "), worst, why and " (" .. why .. ")" or ""), worst
end

def "plan" { doc = "What is to be applied, in its order, with checksums and risks. Raises for what does not fit together: a file that was edited after it ran, two with one version, one that is gone.",
  connection_of, { "folder", "text", "where the files are" },
  { "options", { out_of_order = { "boolean", "also what is older than the newest that was applied", default = false } }, "what is allowed" },
  returns = { "table", "{id, folder, version, pending = {{version, name, file, checksum, statements, transaction, risk, why}}, applied, risk, sentence, valid, irreversible}: irreversible names those without a down file" },
  raises = { "migrate.edited", "migrate.duplicate", "migrate.missing", "migrate.order", "migrate.file", "db.connection", "db.auth", "db.permission", "db.error", "fs", "permission" }, reads = true,
  example = [[local plan = migrate.plan(p.prod, "migrations/")]],
  run = function(connection, folder, o)
    local by, list, path = files.folder(folder, is_mysql(connection))
    local known, rows = ledger.rows(connection)
    local version = compare(path, by, rows, known, o.out_of_order)
    local pending, irreversible = json.array {}, json.array {}
    for _, one in ipairs(list) do
      if not known[one.version] or known[one.version].state ~= "done" then
        pending[#pending + 1] = one
        if not one.down then irreversible[#irreversible + 1] = label(one) end
      end
    end
    local words, risk = sentence(pending)
    return { id = "plan-" .. crypto.random(6), folder = path, version = version, pending = pending, applied = #rows, risk = risk or "low", sentence = words, valid = true, irreversible = irreversible }
  end }

def "version" { doc = "The newest version that was applied.", connection_of, returns = { "integer", "0 where there is none" }, raises = reading, reads = true,
  example = [[local version = migrate.version(p.prod)]],
  run = function(connection)
    local newest = 0
    for _, row in ipairs((select(2, ledger.rows(connection)))) do newest = row.state == "done" and row.version or newest end
    return newest
  end }

def "state" { doc = "For `observe` of a step that migrates: how far a plan is.", connection_of, { "plan", "table", "from migrate.plan" }, { "version", "count?", "what migrate.version said before" },
  returns = { "string", '"done", "absent" or "partial"' }, raises = reading, reads = true, example = [[local state = migrate.state(p.prod, migrate.plan(p.prod, "migrations/"))]],
  run = function(connection, plan)
    local known, done, begun = ledger.rows(connection), 0, 0
    for _, one in ipairs(plan.pending) do
      local row = known[one.version]
      if row then begun = begun + 1 end
      if row and row.state == "done" then done = done + 1 end
    end
    return done == #plan.pending and "done" or begun == 0 and "absent" or "partial"
  end }

-- --- up ------------------------------------------------------------------------------------------------------------------------------

local function check_plan(who, plan)
  if type(plan.pending) ~= "table" or type(plan.folder) ~= "string" or type(plan.id) ~= "string" then arguments.fail(who, 2, "options", "option 'plan': what migrate.plan returned expected") end
end

local function done(row) return row ~= nil and row.state == "done" end
local function is_done(connection, one) return done(ledger.row(connection, one.version)) end

-- One transaction: the statements and the row.
local function apply_whole(connection, one, text, owner, o)
  ddl.patiently(connection, function(c)
    db.transaction(c, function()
      ledger.alone(c)
      if is_done(c, one) then return end
      db.script(c, text)
      ledger.begin(c, one, owner, "done")
    end)
  end, patience(o))
end

-- Whether statement `i` of a migration is there, for a restart.
local function observe_statement(connection, one, i, statement)
  local row = ledger.row(connection, one.version)
  if row and row.done >= i then return "done" end
  -- An index that is there is left by ddl.run, and noted.
  return (ddl.index_state(connection, statement.text) or statement.words:find "%f[%w]if %a*%s?exists") and "absent" or "unknown"
end

-- Statement by statement, each noted behind it.
local function apply_apart(connection, one, text, owner, o)
  part(o, label(one) .. ", begin", { idempotent = true, run = function()
    if not ledger.row(connection, one.version) then ledger.begin(connection, one, owner, "running") end
  end })
  for i, statement in ipairs(statements.split(text, is_mysql(connection))) do
    part(o, ("%s, statement %d"):format(label(one), i), {
      run = function()
        local row = ledger.row(connection, one.version)
        if row and row.done >= i then return end
        ddl.run(connection, statement.text, patience(o))
        ledger.advance(connection, one, i)
      end,
      observe = function() return observe_statement(connection, one, i, statement) end })
  end
end

def "up" { doc = "Applies what a plan says, in its order. What is there already is left; a statement that does not get its lock is tried again, and who is in the way is named.", connection_of,
  { "options", with_each { plan = { "table", "from migrate.plan", required = true } }, "what, and how" },
  returns = { "table", "{applied, version}" }, raises = errors, writes = true, example = [[migrate.up(p.prod, { plan = migrate.plan(p.prod, "migrations/"), lock_timeout = "3s" })]],
  run = function(connection, o)
    local plan = o.plan
    check_plan("migrate.up", plan)
    part(o, "lock the migrations", { idempotent = true, run = function() ledger.lock(connection, plan.id) end })
    local applied, version = 0, plan.version
    for _, one in ipairs(plan.pending) do
      local text = files.text(plan.folder, one)
      if one.transaction then
        part(o, label(one), { run = function() apply_whole(connection, one, text, plan.id, o) end,
          observe = function() return is_done(connection, one) and "done" or "absent" end })
      else
        apply_apart(connection, one, text, plan.id, o)
      end
      applied, version = applied + 1, math.max(version, one.version)
    end
    part(o, "unlock the migrations", { idempotent = true, run = function() ledger.unlock(connection) end })
    return { applied = applied, version = version }
  end }

-- --- down ----------------------------------------------------------------------------------------------------------------------------

local function undo_one(connection, row, o)
  local list, apart = statements.split(row.down, is_mysql(connection)), not row.transaction or is_mysql(connection)
  for _, statement in ipairs(list) do apart = apart or statements.outside(statement.words) end
  if apart then
    for _, statement in ipairs(list) do ddl.run(connection, statement.text, patience(o)) end
    ledger.remove(connection, row.version)
    return
  end
  ddl.patiently(connection, function(c)
    db.transaction(c, function()
      ledger.alone(c)
      if not ledger.row(c, row.version) then return end
      db.script(c, row.down)
      ledger.remove(c, row.version)
    end)
  end, patience(o))
end

def "down" {
  doc = "Goes back to a version by the down files as they were when their migrations ran, newest first. Never below that version. Where one of them has none, nothing is done.", connection_of,
  { "options", with_each { to = { "count", "the version to go back to; what migrate.version said before", required = true } }, "how far" },
  returns = { "table", "{undone, version}" }, raises = { "migrate.no_way_back", "migrate.locked", "ddl.blocked", "db.connection", "db.permission", "db.timeout", "db.syntax", "db.constraint", "db.error" },
  writes = true, example = [[migrate.down(p.prod, { to = 8 })]],
  run = function(connection, o)
    local going, rows = {}, select(2, ledger.rows(connection))
    for i = #rows, 1, -1 do
      if rows[i].version > o.to then going[#going + 1] = rows[i] end
    end
    for _, row in ipairs(going) do
      if not row.down then
        error { kind = "migrate.no_way_back", message = ("%s came without a %s.down.sql: nothing was undone"):format(label(row), (label(row):gsub(" ", "_"))),
          hint = "restore the backup that was taken before it" }
      end
    end
    if #going == 0 and #rows == 0 then return { undone = 0, version = 0 } end
    part(o, "lock the migrations, to go back", { idempotent = true, run = function() ledger.lock(connection, "back to " .. o.to, true) end })
    for _, row in ipairs(going) do
      part(o, "undo " .. label(row), { idempotent = true, run = function() undo_one(connection, row, o) end })
    end
    part(o, "unlock the migrations, gone back", { idempotent = true, run = function() ledger.unlock(connection) end })
    return { undone = #going, version = o.to }
  end }

-- --- afterwards ----------------------------------------------------------------------------------------------------------------------

-- Whose database a result of inspect is about: for a repair right behind it, in the same process.
local inspected = setmetatable({}, { __mode = "v" })

def "inspect" { doc = "Whether the database is what a plan says: for the checkpoint behind it.", connection_of,
  { "options", { plan = { "table", "from migrate.plan", required = true }, rows = { "table", "db.counts before: no table may have lost rows" } }, "what is expected" },
  returns = { "table", "{id, applied, missing, invalid, unvalidated, orphans, damaged, problems, only_invalid_indexes}: damaged counts tables that lost rows; problems are texts" }, raises = reading, reads = true,
  example = [[local seen = migrate.inspect(p.prod, { plan = migrate.plan(p.prod, "migrations/"), rows = db.counts(p.prod) })]],
  run = function(connection, o)
    check_plan("migrate.inspect", o.plan)
    local result = { id = "inspected-" .. crypto.random(6), applied = 0, missing = json.array {}, invalid = 0, damaged = 0, problems = json.array {} }
    local function problem(text, ...) result.problems[#result.problems + 1] = text:format(...) end
    local known = ledger.rows(connection)
    for _, one in ipairs(o.plan.pending) do
      if done(known[one.version]) then result.applied = result.applied + 1
      else
        result.missing[#result.missing + 1] = label(one)
        problem("%s is not applied", label(one))
      end
    end
    for _, one in ipairs(ddl.invalid_indexes(connection)) do
      result.invalid = result.invalid + 1
      problem("the index %s of %s is invalid", one.name, one.table)
    end
    local facts = db.facts(connection)
    result.unvalidated, result.orphans = facts.unvalidated, facts.orphans
    if facts.unvalidated > 0 then problem("%d constraints are not validated", facts.unvalidated) end
    if facts.orphans > 0 then problem("%d rows point to rows that are not there", facts.orphans) end
    if o.rows then
      local now = db.counts(connection)
      for name, count in pairs(o.rows) do
        if type(count) == "number" and name ~= "total" and type(now[name]) == "number" and now[name] < count then
          result.damaged = result.damaged + 1
          problem("%s had %d rows and has %d", name, count, now[name])
        end
      end
    end
    result.only_invalid_indexes = result.invalid > 0 and #result.problems == result.invalid
    inspected[result.id] = connection
    return result
  end }

def "reindex_invalid" { doc = "For `repair` of the checkpoint that inspects: ddl.repair_indexes on the database that was inspected.",
  { "result", "table", "of migrate.inspect, in the same checkpoint" }, returns = { "table", "{rebuilt, dropped}: names" }, raises = { "usage", "ddl.blocked", "db.connection", "db.constraint", "db.error" },
  writes = true, example = [[local mend = repair("invalid indexes", migrate.reindex_invalid)]],
  run = function(result)
    local connection = inspected[result.id or ""]
    if not connection then
      error { kind = "usage", message = "migrate.reindex_invalid: that is no result of migrate.inspect in this checkpoint", hint = "name the database: function() ddl.repair_indexes(p.prod) end" }
    end
    return ddl.repair_indexes(connection)
  end }

def "contract" { doc = "Runs the contract files of what was applied: what was only for the change from the old to the new is dropped, once the old is gone.", connection_of,
  { "options", with_each {}, "how" }, returns = { "table", "{contracted}: names" }, raises = errors, writes = true, example = [[migrate.contract(p.prod)]],
  run = function(connection, o)
    local names = json.array {}
    for _, row in ipairs((select(2, ledger.rows(connection)))) do
      if row.contract and not row.contracted and row.state == "done" then
        part(o, "contract " .. label(row), { idempotent = true, run = function()
          for _, statement in ipairs(statements.split(row.contract, is_mysql(connection))) do ddl.run(connection, statement.text, patience(o)) end
          ledger.contracted(connection, row.version)
        end })
        names[#names + 1] = label(row)
      end
    end
    return { contracted = names }
  end }

def "unlock" { doc = "Removes the lock of an owner whose session has ended. Refused while it lives, and where the lock is another one's.", connection_of, { "owner", "text", "as the refusal names it" },
  returns = { "boolean", "false where there is no lock" }, raises = { "migrate.locked", "db.connection", "db.permission", "db.error" }, writes = true, example = [[migrate.unlock(p.prod, "plan-1f2e3d")]],
  run = function(connection, owner) return ledger.break_lock(connection, owner) end }

def "accept" { doc = "Takes the file of an applied migration as it is now for the one that ran: where only comments or spaces changed.", connection_of, { "folder", "text", "where the files are" },
  { "version", "count", "of the migration" }, raises = { "migrate.missing", "migrate.file", "db.connection", "db.permission", "db.error", "fs" }, writes = true,
  example = [[migrate.accept(p.prod, "migrations/", 9)]],
  run = function(connection, folder, version)
    local one = files.folder(folder, is_mysql(connection))[version]
    if not one or not ledger.row(connection, version) then
      error { kind = "migrate.missing", message = ("there is no applied migration %d with a file in %s"):format(version, folder) }
    end
    ledger.set_checksum(connection, version, one.checksum)
  end }

return M

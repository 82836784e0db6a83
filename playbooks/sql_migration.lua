-- Apply the pending SQL migrations of a PostgreSQL database in a maintenance window.
-- A migration that fails, an application that suffers and damaged data are one mechanism: the undos below, newest first. They
-- run the down files; where rows are missing, the backup is restored instead (the way "restore").
local kube, migrate = require "kube", require "migrate"

local p = playbook "sql-migration" {
  summary = "Apply the pending SQL migrations of a database",
  params = {
    prod       = { "database", access = "admin", required = true, doc = "PostgreSQL to migrate, as the owner of its tables" },
    stats      = { "database", access = "read", required = true, doc = "the same database, as a role with pg_monitor; on its host" },
    scratch    = { "database", access = "write", required = true, doc = "spare PostgreSQL for the test restore" },
    app        = { "url", required = true, doc = "health address of the application" },
    deploy     = { "string", default = "deployment/api", doc = "workload of the application, as kubectl names it" },
    migrations = { "path", default = "migrations/", doc = "folder of the migrations" },
    backups    = { "path", default = "backup/", doc = "folder for the backup" },
    free       = { "number", default = 0.5, doc = "part of the database's disk that must be free" },
    watched    = { "duration", default = "15m", doc = "how long the application is watched afterwards" },
  },
  roles    = { dba = "DBA Lead", backend = "Backend Lead", devops = "DevOps Engineer", boss = "Engineering Manager" },
  needs    = { shell = { "kubectl" }, http = { "app" }, files = { "migrations", "backups" } },
  lock     = "prod",
  window   = { from = "maintenance on", to = "maintenance off", target = "30m", max = "60m" },
  rollback = { within = "15m", ways = { "down", "restore" } },
  ask      = { within = "5m", escalate = "boss", otherwise = "rollback" },
}
local function answers(status) return http.expect(p.app, { status = status, within = "2m" }) end
local function seconds() return http.get(p.app).elapsed end

checklist "a week before" { due = "T-7d",
  confirm("backend", "reviewed by two engineers", { evidence = "url" }),
  confirm("dba", "rehearsed on a copy of production, rollback included", { evidence = "url" }),
}
checklist "a day before" { due = "T-24h", valid = "24h",
  confirm("boss", "change request approved", { evidence = "ticket" }),
  probe("enough of the disk is free", function() return db.disk(p.stats).free_ratio > p.free end),
  probe("no index is invalid and no constraint unvalidated before", function()
    local now = db.facts(p.prod)
    return now.invalid_indexes == 0 and now.unvalidated == 0
  end),
}
local plan = step "plan" { owner = "dba", takes = "1m", says = "{result.sentence}.",
  run    = function() return migrate.plan(p.prod, p.migrations) end,     -- checksums, order, risks
  verify = function(ctx) expect(#ctx.result.pending > 0, "there is something to apply") end,
}
local before = step "baseline" { owner = "devops", takes = "1m",
  run = function() return { seconds = seconds(), rows = db.counts(p.prod) } end,
}
gate "go" { role = "dba", within = "30m", otherwise = "rollback", ask = function() return ("Apply %s?"):format(plan.result.sentence) end }

local maintenance = toggle {
  on    = function() kube.set_env(p.deploy, "MAINTENANCE_MODE", "true"); answers(503) end,
  off   = function() kube.set_env(p.deploy, "MAINTENANCE_MODE", "false"); answers(200) end,
  state = function() return ({ [503] = "on", [200] = "off" })[http.status(p.app)] end,    -- anything else: a person looks
}
local fence = db.write_fence(p.prod)                                     -- jobs and crons too: nobody writes but this run

step "maintenance on" { maintenance.on, owner = "devops", takes = "3m", says = "Maintenance mode is on." }
step "fence on" { fence.on, owner = "dba", takes = "1m" }
local dump = step "backup" { owner = "dba", takes = "5m", says = "Backup {result.file}, {result.bytes}.",
  run  = function() return backup.create(p.prod, { to = p.backups }) end,
  undo = keep "the backup stays", idempotent = true,
}
step "test restore" { owner = "dba", takes = "8m", beside = "fence off",                  -- it must have succeeded by then
  run  = function() return backup.test_restore(dump.result, p.scratch, { counts = before.result.rows }) end,
  undo = keep "the scratch database is dropped again", idempotent = true,
}
step "migrate" { owner = "dba", takes = "10m", timeout = "30m", overdue = { after = "15m", verdict = ask "dba" },
  capture = function() return { version = migrate.version(p.prod) } end,
  run     = function(ctx) return migrate.up(p.prod, { plan = plan.result, each = ctx.step }) end,
  observe = function(ctx) return migrate.state(p.prod, plan.result, ctx.saved.version) end,
  undo    = {
    down    = function(ctx) migrate.down(p.prod, { to = ctx.saved.version }) end,
    restore = function() backup.restore(dump.result, p.prod, { replace = true }) end,
  },
  hints   = { ["db.disk_full"] = "free space elsewhere: VACUUM FULL needs more", ["ddl.blocked"] = "who is in the way stands in the message" },
}
checkpoint "schema and data" { owner = "dba", takes = "2m",
  run  = function() return migrate.inspect(p.prod, { plan = plan.result, rows = before.result.rows }) end,
  pass = function(r) return r.applied == #plan.result.pending and #r.problems == 0 end,
  fail = {
    { when = function(r) return r.damaged > 0 end, rollback("tables have lost rows", { way = "restore" }) },
    { when = function(r) return r.only_invalid_indexes end, repair("invalid indexes", migrate.reindex_invalid) },
    otherwise = rollback "the schema is not what the plan says",
  },
}
step "fence off" { fence.off, owner = "dba", takes = "1m" }
local opened = step "opening" { takes = "1s", run = function() return db.mark(p.prod) end }
step "maintenance off" { maintenance.off, owner = "devops", takes = "3m", says = "The application is open again.",
  loses = function() return db.written_since(p.prod, opened.result) end,                  -- what users write from here on
}
monitor "afterwards" { from = "maintenance off", lasts = p.watched, every = "15s", no_data = ask "devops",
  { http.probe(p.app), name = "answers", is = false, times = 3, verdict = rollback "the application does not answer" },
  { seconds, name = "seconds", above = relative(0.5, function() return before.result.seconds end), sustained = "5m", verdict = ask "backend" },
}
followup "prune backups" { after = "7d",
  gate = { role = "dba", ask = "Remove backups older than 30 days, but never the newest three?", within = "3d", otherwise = "hold" },
  run = function() return backup.prune(p.backups, { keep = 3, days = 30 }) end }

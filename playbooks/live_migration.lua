-- Apply the pending SQL migrations of a PostgreSQL database while the service runs. No statement waits long for a lock, guards
-- watch beside the migration, and what users write meanwhile survives the way back: it runs the down files, never a restore.
local kube, migrate = require "kube", require "migrate"

local p = playbook "live-migration" {
  summary = "Apply SQL migrations while the service runs",
  params = {
    prod       = { "database", access = "write", required = true, doc = "PostgreSQL to migrate, as the owner of its tables" },
    stats      = { "database", access = "read", required = true, doc = "the same database, as a role with pg_monitor" },
    scratch    = { "database", access = "write", required = true, doc = "spare PostgreSQL for the test restore" },
    app        = { "url", required = true, doc = "health address of the application" },
    deploy     = { "string", default = "deployment/app", doc = "workload to stop when downtime is asked for" },
    downtime   = { "boolean", default = false, doc = "stop the workload while migrating" },
    archived   = { "boolean", default = true, doc = "the server archives its changes: make sure that it does" },
    migrations = { "path", default = "migrations/", doc = "folder of the migrations" },
    backups    = { "path", default = "backup/", doc = "folder for the backup" },
    watched    = { "duration", default = "1h", doc = "how long the application is watched afterwards" },
  },
  roles = { dba = "DBA On-Call", app = "Application On-Call", manager = "Manager" },
  needs = { shell = { "kubectl" }, http = { "app" }, files = { "migrations", "backups" } },
  lock  = { "deployments", "prod" },                                     -- no other deployment meanwhile
  ask   = { within = "5m", escalate = "manager", otherwise = "hold" },
  goals = {
    { "duration of the migration", below = "30m", of = function(run) return run["migrate"].elapsed end },
    { "slower by", below = 0.1, of = function(run) return run["afterwards"].seconds.change end },
    { "rolled back", is = false, of = function(run) return run.rolled_back end },
  },
}
local function seconds() return http.get(p.app).elapsed end
local function sessions() return db.facts(p.stats).sessions end
local function number(sql) return function() return tonumber(tostring(db.value(p.stats, sql))) end end
local longest_wait = number "select coalesce(max(extract(epoch from clock_timestamp() - waitstart)), 0)::float8 from pg_locks where not granted"
local replica_lag  = number "select coalesce(max(extract(epoch from replay_lag)), 0)::float8 from pg_stat_replication"

checklist "a day before" { due = "T-1d", valid = "36h",
  confirm("dba", "scripts reviewed by the team, rehearsed on a copy of production", { evidence = "url" }),
  confirm("app", "the application runs on the old schema and on the new one", { evidence = "url" }),
  p.archived and probe("changes are archived", function() return db.archiving(p.stats).healthy end) or nil,
}
checklist "an hour before" { due = "T-1h", valid = "2h",
  confirm("app", "on-call has read this plan"),
  probe("no more than 80 % of the sessions are used", function() return sessions() < 0.8 * db.facts(p.stats).most_sessions end),
  probe("no index is invalid", function() return db.facts(p.prod).invalid_indexes == 0 end),
}
local plan = step "plan" { owner = "dba", takes = "1m", says = "{result.sentence}.",
  run    = function() return migrate.plan(p.prod, p.migrations) end,
  verify = function(ctx)
    expect(#ctx.result.pending > 0, "there is something to apply")
    expect(#ctx.result.irreversible == 0, "a down file for " .. table.concat(ctx.result.irreversible, ", "))
  end,
}
local before = step "baseline" { takes = "1m",
  run = function() return { seconds = seconds(), sessions = sessions(), rows = db.counts(p.prod) } end,
}
local dump = step "backup" { owner = "dba", takes = "10m",
  run  = function() return backup.create(p.prod, { to = p.backups }) end,
  undo = keep "the backup stays", idempotent = true,
}
step "test restore" { owner = "dba", takes = "10m", undo = keep "the scratch database is dropped again", idempotent = true,
  run = function() return backup.test_restore(dump.result, p.scratch) end,
}
local traffic = kube.scaled(p.deploy)                                    -- remembers at the workload how many replicas it had
step "stop traffic" { traffic.off, takes = "2m", only_if = p.downtime }
step "migrate" { owner = "dba", takes = "10m", timeout = "30m", overdue = { after = "15m", verdict = ask "dba" },
  retry   = { attempts = 3, on = "cancelled.statement", initial = "5s" },
  capture = function() return { version = migrate.version(p.prod) } end,
  run     = function(ctx) return migrate.up(p.prod, { plan = plan.result, each = ctx.step, lock_timeout = "3s", lock_retries = 20 }) end,
  observe = function(ctx) return migrate.state(p.prod, plan.result, ctx.saved.version) end,
  undo    = function(ctx) migrate.down(p.prod, { to = ctx.saved.version, lock_timeout = "3s" }) end,
}
monitor "beside the migration" { from = "migrate", to = "migrate", every = "5s", no_data = "hold",
  { longest_wait, name = "longest wait for a lock", above = "30s", verdict = cancel_statement "others wait behind it" },
  { replica_lag, name = "lag of the replicas", above = "5m", verdict = pause "the replicas catch up" },    -- between two migrations
  { replica_lag, name = "lag of the replicas", above = "10m", sustained = "1m", verdict = ask "dba" },
  { sessions, name = "sessions", above = relative(0.5, function() return before.result.sessions end), times = 3, verdict = ask "dba" },
}
checkpoint "schema" { owner = "dba", takes = "1m",
  run  = function() return migrate.inspect(p.prod, { plan = plan.result }) end,
  pass = function(r) return r.applied == #plan.result.pending and #r.problems == 0 end,
  fail = { { when = function(r) return r.only_invalid_indexes end, repair("invalid indexes", migrate.reindex_invalid) },
           otherwise = rollback "the schema is not what the plan says" },
}
step "start traffic" { traffic.on, takes = "2m", only_if = p.downtime }
monitor "afterwards" { from = "schema", lasts = p.watched, every = "15s", no_data = ask "app",
  { http.probe(p.app), name = "answers", is = false, times = 3, verdict = rollback "the application does not answer" },
  { seconds, name = "seconds", above = relative(0.5, function() return before.result.seconds end), sustained = "5m", verdict = ask "dba" },
}
checklist "by hand" { within = "1h", confirm("app", "cron jobs and reports ran"), otherwise = ask "app" }
followup "drop what was only for the migration" { after = "7d", gate = { role = "dba", within = "3d", otherwise = "hold" },
  run = function(ctx) return migrate.contract(p.prod, { each = ctx.step }) end }

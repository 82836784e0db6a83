-- Apply Prisma's migrations to a PostgreSQL database whose application runs on Render. The services stop and a fence closes before
-- the backup is taken: what a restore brings back is then all that there was. Until they start again a rollback loses nothing.
local prisma, render = require "prisma", require "render"

local p = playbook "managed-service-migration" {
  summary = "Apply Prisma's migrations to a database on Render",
  params = {
    prod     = { "database", access = "admin", required = true, doc = "production database, as the owner of its tables" },
    scratch  = { "database", access = "write", required = true, doc = "spare PostgreSQL for the test restore" },
    services = { "list", of = "string", default = { "web" }, doc = "services that use it, in the order in which they stop" },
    health   = { "url", default = "https://{service}.onrender.com/health", doc = "health address of a service" },
    api      = { "url", default = "https://api.render.com/v1", doc = "Render's API" },
    token    = { "secret", from = "env:RENDER_API_KEY", doc = "key of Render's API" },
    project  = { "path", default = "packages/database/prisma/", doc = "folder of schema.prisma and its migrations" },
    backups  = { "path", default = "backup/", doc = "folder for the backup" },
    purpose  = { "string", required = true, doc = "one line for the announcement" },
    watched  = { "duration", default = "30m", doc = "how long the services are watched afterwards" },
  },
  roles    = { executor = "Migration Executor", oncall = "On-call Engineer", support = "Backup Support" },
  needs    = { http = { "api", "health", "*.onrender.com" }, shell = { "npx prisma" }, files = { "project", "backups" } },
  lock     = "prod",
  window   = { from = "stop services", to = "start services", target = "45m", max = "2h" },
  rollback = { within = "30m" },
  ask      = { within = "5m", escalate = "support", otherwise = "rollback" },
}
render.api = p.api
local schema = p.project .. "schema.prisma"
local function address(name) return (p.health:gsub("{service}", name)) end
local function healthy(name) return http.expect(address(name), { json = { status = "healthy" }, within = "3m" }) end

checklist "ready" { due = "T-1h", valid = "24h",
  confirm("executor", "reviewed by another developer, rehearsed on staging, rollback included", { evidence = "url" }),
  confirm("executor", "stakeholders and support were told 24 hours ahead", { evidence = "url" }),
  probe("Render answers for every service", function() return render.reachable(p.token, p.services) end),
  probe("there is something to apply, and nothing failed before", function()
    local now = prisma.status(p.prod, schema)
    return #now.pending > 0 and #now.failed == 0 and #now.unknown == 0
  end),
}
gate "go" { role = "oncall", within = "30m", otherwise = "rollback", ask = ("Start: %s?"):format(p.purpose) }

phase "stop services"
for _, name in ipairs(p.services) do                                    -- parameters are known here: one step each
  step("stop " .. name) { owner = "executor", takes = "2m",
    capture = function() return { deploy = render.live_deploy(p.token, name), scale = render.scale(p.token, name) } end,
    run     = function() render.suspend(p.token, name, { within = "90s" }) end,
    observe = function() return render.state(p.token, name) == "suspended" and "done" or "absent" end,
    undo    = function(ctx)                                             -- the code that ran, then as many instances as it had
      if ctx.saved.deploy then render.deploy(p.token, name, ctx.saved.deploy) end
      render.resume(p.token, name, ctx.saved.scale)
      healthy(name)
    end,
  }
end
local fence = db.write_fence(p.prod)
step "fence on" { fence.on, owner = "executor", takes = "1m" }          -- jobs and crons too: nobody writes but this run
local before = step "baseline" { takes = "1m", run = function() return { rows = db.counts(p.prod) } end }
local dump = step "backup" { owner = "executor", takes = "8m", says = "Backup {result.file}, {result.bytes}.",
  run  = function() return backup.create(p.prod, { to = p.backups }) end,
  undo = keep "the backup stays", idempotent = true,
}
step "test restore" { owner = "executor", takes = "8m", undo = keep "the scratch database is dropped again", idempotent = true,
  run = function() return backup.test_restore(dump.result, p.scratch, { counts = before.result.rows }) end }
step "migrate" { owner = "executor", takes = "10m", timeout = "20m",
  run     = function() return prisma.deploy(p.prod, { schema = schema, lock_timeout = "30s" }) end,
  observe = function() return prisma.state(p.prod, schema) end,         -- finished_at set and rolled_back_at null
  undo    = function() backup.restore(dump.result, p.prod, { replace = true }) end,
  hints   = { ["shell.exit"] = "foreign keys: add them NOT VALID, repair the rows, then VALIDATE" },
}
checkpoint "verified" { owner = "executor", takes = "2m",
  run  = function()
    local now, lost = db.counts(p.prod), 0
    for name, rows in pairs(before.result.rows) do
      if type(rows) == "number" and (now[name] or 0) < rows then lost = lost + 1 end
    end
    return { prisma = prisma.state(p.prod, schema), facts = db.facts(p.prod), drift = prisma.drift(p.prod, schema), lost = lost }
  end,
  pass = function(r) return r.prisma == "done" and r.facts.unvalidated == 0 and r.facts.invalid_indexes == 0 and r.facts.orphans == 0 and #r.drift == 0 and r.lost == 0 end,
  fail = { { when = function(r) return r.lost > 0 end, rollback "tables have lost rows" }, otherwise = rollback "the schema is not what Prisma says" },
}
step "fence off" { fence.off, owner = "executor", takes = "1m" }
local opened = step "opening" { takes = "1s", run = function() return db.mark(p.prod) end }
phase "start services"
for _, name in ipairs(p.services) do
  step("start " .. name) { owner = "executor", takes = "3m",
    run    = function() render.resume(p.token, name) end,
    verify = function() healthy(name) end,
    undo   = function() render.suspend(p.token, name, { within = "90s" }) end,
    loses  = function() return db.written_since(p.prod, opened.result) end,               -- what users write from here on
  }
  monitor("afterwards: " .. name) { from = "start " .. name, lasts = p.watched, every = "15s", no_data = ask "oncall",
    { http.probe(address(name)), name = "answers", is = false, times = 3, verdict = rollback "a service does not answer" } }
end
followup "metrics review" { after = "2d", owner = "executor", manual = "Compare errors, times and connections with those before" }

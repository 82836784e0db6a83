-- Migrate the collections of a Firestore database behind a switch that the application obeys, in order of importance. What becomes
-- of the documents stands in documents/changes.lua. The export is taken after the writers have stopped, so it is all that there was.
local cache, changes, firestore = require "cache", require "documents.changes", require "firestore"

local p = playbook "document-migration" {
  summary = "Migrate the collections of a Firestore database",
  params = {
    project = { "string", required = true, doc = "Google Cloud project" },
    api     = { "url", default = "https://firestore.googleapis.com/v1", doc = "Firestore's REST API" },
    token   = { "secret", from = "env:FIRESTORE_TOKEN", doc = "access token" },
    bucket  = { "url", required = true, doc = "gs://bucket that exports go to" },
    app     = { "url", required = true, doc = "health address of the application" },
    cache   = { "url", required = true, doc = "Redis; only keys under the prefix are removed" },
    prefix  = { "string", default = "firestore:", doc = "what the keys of the cache begin with" },
    indexes = { "path", default = "firestore.indexes.json", doc = "the composite indexes that must be there" },
    quiet   = { "duration", default = "60s", doc = "how long nobody may have written before the export" },
    watched = { "duration", default = "2h", doc = "how long the application is watched afterwards" },
  },
  roles    = { database = "Database Specialist", devops = "DevOps Commander", sre = "SRE", manager = "Engineering Manager" },
  needs    = { http = { "api", "app" }, redis = { "cache" }, files = { "indexes" } },
  lock     = "project",
  window   = { from = "maintenance on", to = "maintenance off", target = "60m", max = "2h" },
  rollback = { within = "30m" },
  ask      = { within = "5m", escalate = "manager", otherwise = "rollback" },
}
local db = firestore.open { project = p.project, token = p.token, api = p.api }
local names = {}
for i, one in ipairs(changes) do names[i] = one[1] end
local function seconds() return http.get(p.app).elapsed end

checklist "ready" { due = "T-12h", valid = "24h",
  confirm("manager", "migration plan approved, rehearsed on the staging clone, rollback included", { evidence = "url" }),
  probe("every collection can be read", function() return db:validate(names).coverage == 1 end),
}
local before = step "baseline" { owner = "sre", takes = "1m", run = function() return { seconds = seconds() } end }
gate "go" { role = "manager", within = "30m", otherwise = "rollback", ask = "Start the migration of " .. table.concat(names, ", ") .. "?" }

local maintenance = toggle {
  on    = function() db:set("_config/maintenance", { enabled = true, message = "Database migration in progress" }); http.expect(p.app, { status = 503, within = "60s" }) end,
  off   = function() db:set("_config/maintenance", { enabled = false }); http.expect(p.app, { status = 200, within = "60s" }) end,
  state = function() return (db:get "_config/maintenance" or {}).enabled and "on" or "off" end,
}
step "maintenance on" { maintenance.on, owner = "devops", takes = "2m", says = "Maintenance mode is on." }
step "quiet" { owner = "database", takes = "2m", retry = { attempts = 5, on = "firestore.busy" },
  run = function() return db:expect_quiet { for_ = p.quiet } end }
local export = step "export" { owner = "database", takes = "10m", says = "Exported {result.documents} documents to {result.uri}.",
  run     = function(ctx) return db:export(p.bucket, { operation = ctx.id, collections = names, progress = ctx.progress }) end,
  observe = function(ctx) return db:operation(ctx.id) end,              -- found again by its folder, never started twice
  undo    = keep "exports are kept 30 days",
}
for _, one in ipairs(changes) do                                        -- one step each: a failure says which, and undoes what began
  local name = one[1]
  step("migrate " .. name) { owner = "database", takes = "5m", stall = "5m", failure = one.regenerable and "continue" or "rollback",
    run  = function(ctx) return db:migrate(name, { transform = one.transform, validate = true, each = ctx.step, progress = ctx.progress }) end,
    undo = function() db:import(export.result, { collections = { name }, delete_extra = true }) end,
  }
end
checkpoint "validated" { owner = "database", takes = "10m", says = "Validated {result.data.documents} documents.",
  run  = function() return { data = db:validate(changes), indexes = db:indexes() } end,
  pass = function(r) return r.data.coverage == 1 and r.data.errors == 0 and r.indexes:has(p.indexes) end,
  fail = {
    { when = function(r) return r.data.errors > 0 or r.data.coverage < 1 end, rollback "documents are not as they should be" },
    { when = function(r) return not r.indexes:has(p.indexes) end, repair("indexes that are missing", function() db:create_indexes(p.indexes) end) },
    otherwise = ask "database",
  },
}
step "caches" { owner = "devops", takes = "1m",                         -- under the prefix only: sessions live in that Redis too
  run = cache.drop_prefix(p.cache, p.prefix), undo = cache.drop_prefix(p.cache, p.prefix) }
gate "go live" { role = "manager", ask = "Open traffic?", within = "10m", otherwise = "rollback" }
local opened = step "opening" { takes = "1s", run = function() return db:mark { collections = names } end }
step "maintenance off" { maintenance.off, owner = "devops", takes = "1m", says = "The application is open again.",
  loses = function() return db:written_since(opened.result) end,       -- what users write from here on
}
monitor "afterwards" { from = "maintenance off", lasts = p.watched, every = "30s", no_data = ask "sre",
  { http.probe(p.app), name = "answers", is = false, times = 3, verdict = rollback "the application does not answer" },
  { seconds, name = "seconds", above = relative(0.5, function() return before.result.seconds end), sustained = "5m", verdict = ask "database" },
}

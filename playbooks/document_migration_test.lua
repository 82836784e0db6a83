-- The decisions of document_migration.lua, without Firestore: runbook test playbooks/document_migration_test.lua
local closed, migrated, alive, lost = false, {}, true, 0                 -- the world
local checked = { documents = 30, coverage = 1, errors = 0, problems = {} }
local indexes = true
environment { FIRESTORE_TOKEN = "a token that nobody has" }
fake("http", { get = { elapsed = 0.1 }, probe = function() return function() return alive end end,
  expect = function(_, o) expect.equal(closed and 503 or 200, o.status, "what the application answers") end })
fake("fs.read", [[{ "indexes": [ { "collectionGroup": "users", "fields": [ { "fieldPath": "city", "order": "ASCENDING" } ] } ] }]])
fake("cache.drop_prefix", function() return function() return 7 end end)
fake("firestore", {
  set = function(_, _, fields) closed = fields.enabled end, get = function() return { enabled = closed } end, expect_quiet = { documents = 30 },
  export = function(_, bucket, o) return { uri = bucket .. "/" .. o.operation, operation = "op", documents = 30, started = "2026-01-05T09:00:00Z" } end,
  operation = function(_, id) return "done", { uri = "gs://bucket/" .. id, documents = 30 } end,
  migrate = function(_, name) migrated[name] = true return { documents = 10, changed = 5, batches = 1 } end, migration_state = "done",
  import = function(_, _, o)
    for _, name in ipairs(o.collections) do migrated[name] = nil end
    return { documents = 30, removed = 0 }
  end,
  validate = function() return checked end, indexes = function() return typed("firestore.indexes", { ready = indexes and { "users: city ASCENDING" } or {} }) end, create_indexes = function() indexes = true return 1 end,
  mark = { started = "2026-01-05T10:00:00Z" }, written_since = function() return { rows = lost } end })

local given = { project = "shop", bucket = "gs://bucket", app = "http://localhost:3000/", cache = "redis://localhost:6379/0" }

local function people(live)
  confirm("migration plan approved, rehearsed on the staging clone, rollback included", { by = "anna", evidence = "https://example.org/1" })
  approve("go", { by = "anna" })
  if live ~= false then approve("go live", { by = "anna", after = "3m" }) end
end

test("migrates every collection, and opens once people said so", function()
  people()
  run(given):expect { outcome = "succeeded", verdicts = { validated = "passed" }, messages = { "Maintenance mode is on", "Exported 30 documents", "Validated 30 documents", "open again" },
    called = { ["firestore.migrate"] = 3, ["firestore.import"] = 0 } }
  expect.equal(migrated, { users = true, lessons = true, sessions = true }, "migrated")
  expect.equal(closed, false, "maintenance")
end)

test("a collection that fails brings back those before it", function()
  people()
  fail("migrate lessons", { kind = "firestore.invalid", message = "lessons/x: what is stored is not what was written" })
  run(given):expect { outcome = "rolled_back", undone = { "migrate lessons", "migrate users", "maintenance on" }, kept = { "export" } }
  expect.equal(migrated, {}, "migrated")
  expect.equal(closed, false, "maintenance")
end)

test("sessions are made anew anyway: their failure stops nothing", function()
  people()
  fail("migrate sessions", { kind = "http.status", message = "503" })
  run(given):expect { outcome = "succeeded", failed = { "migrate sessions" } }
end)

test("documents that are not as they should be lead back", function()
  people()
  checked = { documents = 30, coverage = 1, errors = 2, problems = { "users/a: has no plan" } }
  run(given):expect { outcome = "rolled_back", why = "documents are not as they should be", asked = {
    "migration plan approved, rehearsed on the staging clone, rollback included", "go" } }
  expect.equal(migrated, {}, "migrated")
end)

test("writers that do not stop are waited for five times", function()
  people()
  fail("quiet", { kind = "firestore.busy", message = "it is not quiet" }, { times = 5 })
  run(given):expect { outcome = "rolled_back", attempts = { quiet = 5 }, undone = { "maintenance on" }, called = { ["firestore.export"] = 0 } }
end)

test("indexes that are missing are made once", function()
  people()
  indexes = false
  run(given):expect { outcome = "succeeded", called = { ["firestore.create_indexes"] = 1 } }
end)

test("nobody opens: everything is as before after ten minutes", function()
  people(false)
  run(given):expect { outcome = "rolled_back", why = "nobody answered in time", undone = { "caches", "migrate sessions", "migrate lessons", "migrate users", "maintenance on" } }
  expect.equal(closed, false, "maintenance")
end)

test("after it was opened a rollback that loses documents is a person's decision", function()
  people()
  lost = 12
  on("step.finished", "maintenance off", function() alive = false end)
  run(given):expect { outcome = "held" }
  expect.equal(migrated, { users = true, lessons = true, sessions = true }, "migrated")
end)

test("an export that runs already is found again after a crash", function()
  people()
  crash "export"
  run(given):expect { outcome = "crashed" }
  resume():expect { outcome = "succeeded", called = { ["firestore.export"] = 0, ["firestore.operation"] = 1 } }
end)

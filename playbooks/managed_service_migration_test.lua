-- The decisions of managed_service_migration.lua, without Render or a database: runbook test playbooks/managed_service_migration_test.lua
local running, migrated, fenced, alive, lost = { web = true, worker = true }, false, false, true, 0      -- the world
local counts, drift = typed("db.counts", { cases = 500, total = 500 }), {}
environment { RENDER_API_KEY = "a key that nobody has" }
fake("http", { probe = function() return function() return alive end end,
  expect = function(url) expect(running[url:match "//(%w+)%."], "the service runs before it is asked") end })
fake("render", { reachable = true, live_deploy = "dep-1", scale = 3, deploy = "dep-2", state = function(_, name) return running[name] and "running" or "suspended" end,
  suspend = function(_, name) running[name] = false end, resume = function(_, name) running[name] = true end })
fake("prisma", { status = function() return { pending = migrated and {} or { "20260101_cases" }, failed = {}, unknown = {} } end, drift = function() return drift end,
  state = function() return migrated and "done" or "absent" end, deploy = function() migrated = true return { applied = { "20260101_cases" } } end })
fake("db", { counts = function() return counts end, facts = { unvalidated = 0, invalid_indexes = 0, orphans = 0 }, mark = { at = 1 },
  written_since = function() return { rows = lost } end, fence_on = function() fenced = true end, fence_off = function() fenced = false end, fence_state = function() return fenced and "on" or "off" end })
fake("backup", { create = { file = "backup/x.dump", bytes = "1 MB" }, test_restore = { restored = true }, restore = function() migrated = false end })

local given = { prod = "postgres://owner@localhost/legal", scratch = "postgres://owner@localhost/scratch", services = "web,worker", purpose = "cases get a state" }

local function people()
  confirm("reviewed by another developer, rehearsed on staging, rollback included", { by = "anna", evidence = "https://example.org/1" })
  confirm("stakeholders and support were told 24 hours ahead", { by = "anna", evidence = "https://example.org/2" })
  approve("go", { by = "bob" })
end

local function as_before()
  expect.equal(running, { web = true, worker = true }, "running")
  expect.equal(migrated, false, "migrated")
  expect.equal(fenced, false, "the fence")
end

test("stops, migrates and starts, and watches each service", function()
  people()
  run(given):expect { outcome = "succeeded", verdicts = { verified = "passed" }, called = { ["prisma.deploy"] = 1, ["render.suspend"] = 2, ["render.resume"] = 2, ["backup.restore"] = 0 } }
  expect.equal(running, { web = true, worker = true }, "running")
  expect.equal(migrated, true, "migrated")
  expect.equal(fenced, false, "the fence")
end)

test("a migration that fails brings the backup back, then the services as they were", function()
  people()
  fail("migrate", { kind = "shell.exit", message = "P3018" })
  run(given):expect { outcome = "rolled_back", undone = { "migrate", "fence on", "stop worker", "stop web" }, called = { ["backup.restore"] = 1, ["render.deploy"] = 2 } }
  as_before()
end)

test("rows that are lost lead back", function()
  people()
  on("step.finished", "migrate", function() counts = typed("db.counts", { cases = 499, total = 499 }) end)
  run(given):expect { outcome = "rolled_back", why = "tables have lost rows" }
  as_before()
end)

test("a schema that drifts leads back", function()
  people()
  drift = { "alter table cases add column state text" }
  run(given):expect { outcome = "rolled_back", why = "the schema is not what Prisma says" }
  as_before()
end)

test("nothing stops where the backup cannot be restored", function()
  people()
  fail("test restore", { kind = "backup.unverified", message = "cases: 3 of 500 rows" })
  run(given):expect { outcome = "rolled_back", called = { ["prisma.deploy"] = 0, ["backup.restore"] = 0 } }
  as_before()
end)

test("after a crash in the migration it looks, and goes on", function()
  people()
  crash "migrate"
  run(given):expect { outcome = "crashed" }
  resume():expect { outcome = "succeeded", called = { ["prisma.deploy"] = 0 } }
end)

test("with nothing pending the services stay up", function()
  people()
  migrated = true
  run(given):expect { outcome = "held", called = { ["render.suspend"] = 0 } }
end)

test("a service that stops answering asks before users lose what they wrote", function()
  people()
  lost = 12
  on("step.finished", "start worker", function() alive = false end)
  run(given):expect { outcome = "held" }
  expect.equal(migrated, true, "migrated")
end)

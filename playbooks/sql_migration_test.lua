-- The decisions of sql_migration.lua, without a database: runbook test playbooks/sql_migration_test.lua
local mode, version, fenced, alive = "false", 1, false, true             -- the world: maintenance, newest migration, write fence, the application
local pending = { { version = 2, name = "mail", file = "002_mail.sql", risk = "low" } }
local sound = { applied = 1, problems = {}, damaged = 0, only_invalid_indexes = false }
fake("http", { status = function() return mode == "true" and 503 or 200 end, get = { elapsed = 0.1 }, probe = function() return function() return alive end end,
  expect = function(_, o) expect.equal(mode == "true" and 503 or 200, o.status, "what the application answers") end })
fake("kube.set_env", function(_, _, value) mode = value end)
fake("db", { disk = { free_ratio = 0.8 }, facts = { invalid_indexes = 0, unvalidated = 0 }, counts = typed("db.counts", { customers = 500, total = 500 }),
  mark = { at = 1 }, written_since = { rows = 0 }, fence_on = function() fenced = true end, fence_off = function() fenced = false end,
  fence_state = function() return fenced and "on" or "off" end })
fake("backup", { create = { file = "backup/shop.dump", bytes = "1 MB" }, test_restore = { restored = true }, restore = function() version = 1 end })
fake("migrate", { plan = function() return { id = "plan-1", folder = "migrations/", pending = pending, sentence = "1 migration (002 mail), risk low", valid = true } end,
  version = function() return version end, up = function() version = 2 return { applied = 1, version = 2 } end,
  down = function(_, o) version = o.to return { undone = 1, version = o.to } end, state = function() return version == 2 and "done" or "absent" end,
  inspect = function() return sound end, reindex_invalid = { rebuilt = { "by_name" }, dropped = {} } })

local given = { prod = "postgres://owner@localhost/shop", stats = "postgres://monitor@localhost/shop", scratch = "postgres://owner@localhost/scratch", app = "http://localhost:3000/" }
local there = { "plan", "baseline", "maintenance on", "fence on", "backup", "test restore", "migrate" }

local function people()
  confirm("reviewed by two engineers", { by = "anna", evidence = "https://example.org/1" })
  confirm("rehearsed on a copy of production, rollback included", { by = "bob", evidence = "https://example.org/2" })
  confirm("change request approved", { by = "carl", evidence = "CHG-1" })
  approve("go", { by = "bob" })
end

local function as_before()
  expect.equal(version, 1, "the version")
  expect.equal(mode, "false", "maintenance")
  expect.equal(fenced, false, "the fence")
end

test("applies what is pending, watches, and prunes a week later", function()
  people()
  run(given):expect { outcome = "succeeded", exit = 0, elapsed = "15m", verdicts = { ["schema and data"] = "passed" },
    messages = { "1 migration (002 mail), risk low", "Maintenance mode is on", "Backup backup/shop.dump", "The application is open again" } }
  expect.equal(version, 2, "the version")
  expect.equal(mode, "false", "maintenance")
  expect.equal(fenced, false, "the fence")
  fake("backup.prune", { removed = {} })
  approve("prune backups: go", { by = "bob" })
  followup("prune backups"):expect { outcome = "succeeded", called = { ["backup.prune"] = 1 } }
end)

test("a migration that fails is undone", function()
  people()
  fail("migrate", { kind = "db.syntax", message = "syntax error" })
  run(given):expect { outcome = "rolled_back", steps = there, failed = { "migrate" }, undone = { "migrate", "fence on", "maintenance on" }, called = { ["migrate.down"] = 1 } }
  as_before()
end)

test("a schema that is not what the plan says is undone by the down files", function()
  people()
  sound = { applied = 1, problems = { "1 constraints are not validated" }, damaged = 0, only_invalid_indexes = false }
  run(given):expect { outcome = "rolled_back", why = "the schema is not what the plan says", called = { ["migrate.down"] = 1, ["backup.restore"] = 0 } }
  as_before()
end)

test("rows that are lost come back from the backup", function()
  people()
  sound = { applied = 1, problems = { "customers had 500 rows and has 3" }, damaged = 1, only_invalid_indexes = false }
  run(given):expect { outcome = "rolled_back", why = "tables have lost rows", called = { ["migrate.down"] = 0, ["backup.restore"] = 1 } }
  as_before()
end)

test("invalid indexes are mended once, and judged again", function()
  people()
  local looks = 0
  fake("migrate.inspect", function()
    looks = looks + 1
    return looks == 1 and { applied = 1, problems = { "the index by_name of customers is invalid" }, damaged = 0, only_invalid_indexes = true } or sound
  end)
  run(given):expect { outcome = "succeeded", called = { ["migrate.reindex_invalid"] = 1, ["migrate.inspect"] = 2 } }
end)

test("without anything to apply nobody is disturbed", function()
  people()
  pending = {}
  run(given):expect { outcome = "failed", failed = { "plan" }, called = { ["kube.set_env"] = 0, ["db.fence_on"] = 0 } }
end)

test("a backup that does not restore opens nothing", function()
  people()
  fail("test restore", { kind = "backup.unverified", message = "customers: 3 of 500 rows" })
  run(given):expect { outcome = "rolled_back", failed = { "test restore" } }
  as_before()
end)

test("after a crash in the migration it goes on with it; what is there is left by migrate.up itself", function()
  people()
  crash "migrate"
  run(given):expect { outcome = "crashed" }
  resume():expect { outcome = "succeeded", attempts = { backup = 1 }, called = { ["migrate.up"] = 1, ["backup.create"] = 0 } }
  expect.equal(version, 2, "the version")
end)

test("an application that stops answering asks before users lose what they wrote", function()
  people()
  fake("db.written_since", { rows = 12 })
  on("step.finished", "maintenance off", function() alive = false end)
  answer("afterwards", "rollback")
  run(given):expect { outcome = "rolled_back", called = { ["migrate.down"] = 1 } }
end)

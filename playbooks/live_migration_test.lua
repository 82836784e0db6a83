-- The decisions of live_migration.lua, without a database: runbook test playbooks/live_migration_test.lua
local version, replicas, alive, wait, lag = 1, 3, true, 0, 0             -- the world
local sound, irreversible = { applied = 1, problems = {}, damaged = 0, only_invalid_indexes = false }, {}
fake("http", { get = { elapsed = 0.1 }, probe = function() return function() return alive end end })
fake("kube", { replicas = function() return { wanted = replicas, ready = replicas, before = replicas == 0 and 3 or nil } end, scale = function(_, count) replicas = count end })
fake("sh.run", { exit = 0, out = "", err = "" })
fake("db", { archiving = { healthy = true }, facts = { sessions = 10, most_sessions = 100, invalid_indexes = 0 }, counts = typed("db.counts", { orders = 5, total = 5 }),
  value = function(_, sql) return sql:find "replay_lag" and lag or wait end })
fake("backup", { create = { file = "backup/shop.dump", bytes = "1 MB" }, test_restore = { restored = true } })
fake("migrate", { plan = function() return { id = "plan-1", folder = "migrations/", pending = { { version = 2 } }, irreversible = irreversible, sentence = "1 migration (002 mail), risk low" } end,
  version = function() return version end, up = function() sleep "2m" version = 2 return { applied = 1, version = 2 } end,
  down = function(_, o) version = o.to return { undone = 1, version = o.to } end, state = function() return version == 2 and "done" or "absent" end, inspect = function() return sound end })

local given = { prod = "postgres://owner@localhost/shop", stats = "postgres://monitor@localhost/shop", scratch = "postgres://owner@localhost/scratch", app = "http://localhost:3000/" }

local function with(more)
  local all = {}
  for name, value in pairs(given) do all[name] = value end
  for name, value in pairs(more) do all[name] = value end
  return all
end

local function people()
  confirm("scripts reviewed by the team, rehearsed on a copy of production", { by = "anna", evidence = "https://example.org/1" })
  confirm("the application runs on the old schema and on the new one", { by = "bob", evidence = "https://example.org/2" })
  confirm("on-call has read this plan", { by = "bob" })
  confirm("cron jobs and reports ran", { by = "bob", after = "10m" })
end

test("migrates while the service runs, and contracts a week later", function()
  people()
  local r = run(given)
  r:expect { outcome = "succeeded", skipped = { "stop traffic", "start traffic" }, elapsed = "62m", verdicts = { schema = "passed" } }
  expect.equal(version, 2, "the version")
  fake("migrate.contract", { contracted = { "002 mail" } })
  approve("drop what was only for the migration: go", { by = "anna" })
  followup("drop what was only for the migration"):expect { outcome = "succeeded", results = { ["drop what was only for the migration"] = { contracted = { "002 mail" } } } }
end)

test("with downtime the workload is off meanwhile, and has its replicas again", function()
  people()
  on("step.started", "migrate", function() expect.equal(replicas, 0, "replicas meanwhile") end)
  run(with { downtime = "true" }):expect { outcome = "succeeded" }
  expect.equal(replicas, 3, "replicas")
end)

test("what the plan does not say is undone", function()
  people()
  sound = { applied = 1, problems = { "1 constraints are not validated" }, damaged = 0, only_invalid_indexes = false }
  run(with { downtime = "true" }):expect { outcome = "rolled_back", undone = { "migrate", "stop traffic" }, called = { ["migrate.down"] = 1 } }
  expect.equal(version, 1, "the version")
  expect.equal(replicas, 3, "replicas")
end)

test("a migration without a way back does not begin", function()
  people()
  irreversible = { "002 mail" }
  run(given):expect { outcome = "failed", failed = { "plan" }, called = { ["backup.create"] = 0 } }
end)

test("replicas that fall far behind are put before a person, whose silence holds the run", function()
  people()
  on("step.started", "migrate", function() lag = 700 end)
  run(given):expect { outcome = "held" }
end)

test("no figures hold the run", function()
  people()
  on("step.started", "migrate", function() fake("db.value", function() error { kind = "db.connection", message = "gone" } end) end)
  run(given):expect { outcome = "held" }
end)

test("an application that stops answering leads back, and loses nothing", function()
  people()
  on("checkpoint.judged", "schema", function() alive = false end)
  run(given):expect { outcome = "rolled_back", called = { ["migrate.down"] = 1 } }
end)

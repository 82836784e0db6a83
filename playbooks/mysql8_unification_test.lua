-- The decisions of mysql8_unification.lua, without any server: runbook test playbooks/mysql8_unification_test.lua
-- The application and both databases are these variables; the fakes below read and change them.
local world = { maintenance = false, fenced = false, leaked = false, running = true, database = "PostgreSQL", adapter = nil }

environment { RUNBOOK_PROBE_KEY = "a key for tests" }

local function has(text, part) return text:find(part, 1, true) ~= nil end

fake("fs", {
  touch = function() world.maintenance = true end,
  remove = function() world.maintenance = false end,
  exists = function() return world.maintenance end,
  copy = function(from) world.database = has(from, "mysql8") and "MySQL" or "PostgreSQL" end,
  sha256 = function(file) return (has(file, "mysql8") or has(file, "config") and world.database == "MySQL") and "mysql" or "postgresql" end,
})
fake("http", {
  expect = { status = 200 },
  json = function(url)
    if has(url, "health/migration") then return { migration_in_progress = false } end
    if has(url, "operators") then return { { id = 1 } } end
    if has(url, "feedbacks/") then return { body = "canary 🐤" } end
    return { status = "ok", database = { adapter = world.adapter or (world.database == "MySQL" and "Mysql2" or "PostgreSQL") } }
  end,
  post = { status = 201, body = '{"id":7}' },
  delete = { status = 204 },
})
fake("sh.run", function(command)
  if command[2] == "status" then return { exit = world.running and 0 or 3, out = "" } end
  world.running = command[2] == "start"
  return { exit = 0, out = "" }
end)

local rows = 98230
fake("db", {
  server_version = function() return db.parse_version "8.0.36" end,
  grants = typed("db.grants", { on = "reline", list = { "SELECT", "INSERT", "UPDATE", "DELETE" }, partial = {}, all = {} }),
  tls = { cipher = "TLS_AES_256_GCM_SHA384" },
  counts = function() return typed("db.counts", { feedbacks = rows, contents = 151770 }) end,
  fence_on = function()
    world.fenced = true
    return { fenced = { "reline_app" }, tables = 5, ended = 0 }
  end,
  fence_off = function()
    world.fenced = false
    return { given_back = 5, gone = {} }
  end,
  fence_state = function() return world.fenced and "on" or "off" end,
})
fake("copy", { preflight = { blocking = 0 }, database = { tables = 5, rows = 250000 }, state = "absent" })
fake("backup", { create = { file = "backup/reline.dump", bytes = "84.2 MB" }, test_restore = { restored = true } })

local differences = 0
fake("verify.database", function()
  return { coverage = 1, rows = 250000, mismatches = differences, unsettled = 0, unchecked = {},
    fence_held = world.fenced and not world.leaked,
    tables_seen = typed("verify.names", { alarm_contents = true, contents = true, feedbacks = true, line_groups = true, operators = true }) }
end)
fake("schema.compare", {
  missing = {}, duplicates = 0, collations = typed("schema.collations", { utf8mb4_unicode_ci = true }),
  indexes = typed("schema.indexes", { ["line_groups.index_line_groups_on_line_group_id"] = { unique = true, columns = { "line_group_id" } } }),
})

local servers = {
  source = "postgres://app@db1/reline", fence = "postgres://owner@db1/reline", target = "mysql://migrate@db2/reline",
  runtime = "mysql://app@db2/reline", scratch = "postgres://app@db3/scratch", app_dir = "/srv/reline-app/",
}

local function as_before()
  expect.equal(world.maintenance, false, "the maintenance page")
  expect.equal(world.fenced, false, "the fence")
  expect.equal(world.running, true, "the application runs")
  expect.equal(world.database, "PostgreSQL", "the application's database")
end

test("goes live on MySQL, with traffic open last", function()
  approve "go live"
  local r = run(servers):expect { outcome = "succeeded", exit = 0, undone = {} }
  expect.equal(r.steps[#r.steps], "open traffic", "the last step")
  expect.equal({ world.maintenance, world.fenced, world.running, world.database }, { false, true, true, "MySQL" }, "page, fence, application, database")
end)

test("one differing row is enough to go back", function()
  differences = 1
  run(servers):expect {
    outcome = "rolled_back", exit = 1, why = "PostgreSQL and MySQL differ",
    undone = { "fence PostgreSQL", "maintenance on" }, kept = { "copy", "backup" }, asked = {},
  }
  as_before()
end)

test("equal rows prove nothing where somebody wrote behind the fence", function()
  world.leaked = true
  run(servers):expect { outcome = "rolled_back", verdicts = { ["data verified"] = "rollback" } }
  as_before()
end)

test("silence at the last gate goes back, in the right order", function()
  run(servers):expect {
    outcome = "rolled_back", why = "nobody answered in time",
    undone = { "start application", "point at MySQL", "stop application", "fence PostgreSQL", "maintenance on" },
  }
  as_before()
end)

test("an application that stays on the old adapter is never opened", function()
  world.adapter = "PostgreSQL"
  local r = run(servers):expect { outcome = "rolled_back", why = "the application cannot use MySQL", asked = {} }
  expect.equal(r.attempts["application uses MySQL"], 3, "attempts")
  as_before()
end)

test("traffic stays closed where PostgreSQL does not serve again", function()
  differences = 1
  on("rollback.started", function() world.adapter = "Mysql2" end)
  run(servers):expect { outcome = "held", exit = 3, undone = { "fence PostgreSQL" } }
  expect.equal(world.maintenance, true, "the maintenance page")
end)

test("once traffic is open, a rollback that would lose rows asks first", function()
  approve "go live"
  fail("open traffic", "the balancer does not answer", { at = "after" })
  on("step.started", "open traffic", function() rows = 98242 end)
  answer("open traffic", "hold", { after = "4m" })
  run(servers):expect { outcome = "held", asked = { "go live", "open traffic" }, undone = {} }
end)

test("a crash while the application is stopped: resume finds out and goes on", function()
  crash("stop application")
  run(servers):expect { outcome = "crashed" }
  expect.equal(world.running, false, "the application runs")
  approve "go live"
  resume():expect { outcome = "succeeded", attempts = { ["stop application"] = 1 } }
end)

-- Move production from PostgreSQL to MySQL 8 in one maintenance window.
-- Until "open traffic" a rollback loses nothing: PostgreSQL is fenced and untouched. After it, a rollback says what it loses.
local p = playbook "mysql8-unification" {
  summary = "Move production from PostgreSQL to MySQL 8",
  params = {
    source    = { "database", access = "read",  required = true, doc = "PostgreSQL to read from" },
    fence     = { "database", access = "admin", required = true, doc = "the same database, as the owner of its tables" },
    target    = { "database", access = "write", required = true, empty = true, doc = "empty MySQL schema, as reline_migrate" },
    runtime   = { "database", access = "read",  required = true, doc = "the MySQL schema as the application sees it, reline_app" },
    scratch   = { "database", access = "write", required = true, doc = "spare PostgreSQL for the test restore" },
    collation = { "string", default = "utf8mb4_unicode_ci", doc = "of every text column in MySQL" },
    app_dir   = { "path", default = "/srv/reline-app/", doc = "where the application lives on this host" },
    app       = { "url",  default = "http://localhost:3000/", doc = "the application, as its users see it" },
    probe_key = { "secret", from = "env:RUNBOOK_PROBE_KEY", doc = "header that passes the maintenance page" },
    backups   = { "path", default = "backup/", doc = "folder for the final dump of PostgreSQL" },
  },
  roles    = { lead = "Migration Lead", dba = "Database Engineer", backend = "Backend Engineer", devops = "DevOps Engineer",
               qa = "QA Engineer" },
  needs    = { shell = { "*/bin/app *" }, http = { "app" }, files = { "app_dir", "backups" } },
  window   = { from = "maintenance on", to = "open traffic", target = "30m", max = "60m" },
  rollback = { within = "10m" }, ask = { within = "10m", otherwise = "rollback" },
}

local tables  = { "alarm_contents", "contents", "feedbacks", "line_groups", "operators" }
local carried = { charset = "utf8mb4", collation = p.collation }
local inside  = { headers = { ["X-Probe-Key"] = p.probe_key } }          -- the health checks pass the maintenance page

local function healthy(adapter)                                          -- Rails says PostgreSQL, not PG
  local h = http.json(p.app .. "health", inside)
  return h.status == "ok" and h.database.adapter == adapter
end

-- what is switched on for a while --------------------------------------------------------------------------------

local page = p.app_dir .. "tmp/maintenance.txt"
local maintenance = toggle {
  on    = function() fs.touch(page); http.expect(p.app, { status = 503, body = "maintenance", within = "30s" }) end,
  off   = function() fs.remove(page); http.expect(p.app, { status = { 200, 302 }, within = "60s" }) end,
  state = function() return fs.exists(page) and "on" or "off" end,
}
local fence = db.write_fence(p.fence, { role = "reline_app" })            -- jobs and crons too; reading stays possible
local unit = p.app_dir .. "bin/app"
local running = toggle {                                                 -- stop and start are steps of their own, so that
  on    = function() sh.run { unit, "start" } end,                       -- the way back comes out right: stop, settings, start
  off   = function() sh.run { unit, "stop" } end,
  state = function() return sh.run({ unit, "status", exit = { 0, 3 }, reads = true }).exit == 0 and "on" or "off" end,
}
local settings, ready = p.app_dir .. "config/database.env", p.app_dir .. "deploy/"
local on_mysql = toggle {
  on    = function() fs.copy(ready .. "mysql8/database.env", settings) end,
  off   = function() fs.copy(ready .. "postgresql/database.env", settings) end,
  state = function() return fs.sha256(settings) == fs.sha256(ready .. "mysql8/database.env") and "on" or "off" end,
}

-- before the window ---------------------------------------------------------------------------------------------

checklist "ready" { owner = "lead",
  probe("MySQL is 8.0.34 or newer", function() return db.version(p.target) >= db.version "8.0.34" end),
  probe("reline_app has exactly its four privileges", function()
    return db.grants(p.runtime):equals { "SELECT", "INSERT", "UPDATE", "DELETE", on = p.runtime.name } end),
  probe("the application's connection to MySQL is encrypted", function() return db.tls(p.runtime).cipher ~= nil end),
  probe("the application is healthy", function() return healthy "PostgreSQL" end),
}
checkpoint "nothing in the way" { owner = "dba", takes = "1m",
  run  = function() return copy.preflight(p.source, p.target, carried) end,
  pass = function(r) return r.blocking == 0 end,
  fail = { otherwise = rollback "MySQL cannot hold every row as it is" },
}

-- the window ------------------------------------------------------------------------------------------------------

step "maintenance on" { maintenance.on, owner = "devops", takes = "1m", says = "Maintenance mode enabled. Starting backup.",
  hints = { ["http.status"] = "is the maintenance middleware loaded, and does the application run?" } }
checkpoint "PostgreSQL serves again" { on = "rollback", owner = "dba", takes = "1m",   -- met only on the way back, here
  run  = function() return { healthy = healthy "PostgreSQL" } end,
  pass = function(r) return r.healthy end,
  fail = { otherwise = hold "traffic stays closed" },
}
step "fence PostgreSQL" { fence.on, owner = "dba", takes = "1m", stays = "PostgreSQL takes no writes until it is decommissioned" }
local before = step "baseline" { owner = "dba", takes = "1m", run = function() return { rows = db.counts(p.source, tables) } end }

local dump = step "backup" { owner = "dba", takes = "3m", says = "Backup {result.file}, {result.bytes}. Copying.",
  retry = { attempts = 3, on = { "db.connection" } },
  run   = function() return backup.create(p.source, { to = p.backups }) end,
  undo  = keep "the dump stays",
}
checkpoint "backup restores" { owner = "dba", takes = "3m",
  run  = function() return backup.test_restore(dump.result, p.scratch, { counts = before.result.rows }) end,
  pass = function(r) return r.restored end,
  fail = { otherwise = rollback "there is no backup to go back to" },
}
step "copy" { owner = "dba", takes = "5m", says = "{result.tables} tables, {result.rows} rows. Verifying.",
  retry   = { attempts = 3, on = { "db.connection", "db.deadlock" } },   -- the ledger makes a second attempt safe
  run     = function() return copy.database(p.source, p.target, carried) end,
  observe = function() return copy.state(p.target) end,
  undo    = keep "the MySQL schema stays for the inquiry",
}
checkpoint "data verified" { owner = "dba", takes = "3m", says = "Verified: {result.rows} rows, {result.mismatches} differences.",
  run  = function() return verify.database(p.source, p.target, { mode = "full", fence = fence }) end,
  pass = function(v)
    return v.coverage == 1 and v.mismatches == 0 and v.unsettled == 0 and #v.unchecked == 0 and v.tables_seen:includes(tables)
       and v.fence_held                                                 -- nobody wrote meanwhile
  end,
  fail = { otherwise = rollback "PostgreSQL and MySQL differ" },         -- 0 to 0.1 % has no other rule: nothing may differ
}
checkpoint "integrity" { owner = "dba", takes = "1m",
  run  = function() return schema.compare(p.source, p.target) end,       -- indexes, uniques, foreign keys, checks
  pass = function(s)
    return #s.missing == 0 and s.duplicates == 0 and s.collations:only(p.collation, "ascii_bin", "utf8mb4_bin")  -- uuid, ledger
       and s.indexes:has("line_groups", "index_line_groups_on_line_group_id", { unique = true })
  end,
  fail = { otherwise = rollback "schema incomplete" },
}

step "stop application" { running.off, owner = "devops", takes = "1m" }
step "point at MySQL"   { on_mysql.on, owner = "backend", takes = "1m", says = "Configuration updated.",
  stays = "MySQL is the database from now on" }
step "start application" { running.on, owner = "devops", takes = "1m", says = "Application restarted. Running smoke tests.",
  stays = "it serves on MySQL" }

checkpoint "application uses MySQL" { owner = "backend", takes = "1m", retry = { attempts = 3, initial = "2s" },
  run  = function() return http.json(p.app .. "health", inside) end,
  pass = function(h) return h.status == "ok" and h.database.adapter == "Mysql2" end,
  fail = { otherwise = rollback "the application cannot use MySQL" },
}
local canary = step "canary" { owner = "qa", takes = "2m", undo = keep "it removes what it writes",
  run = function()
    local made = http.post(p.app .. "feedbacks", { json = { rating = 5, body = "canary 🐤" }, headers = inside.headers })
    local at = p.app .. "feedbacks/" .. json.decode(made.body).id
    local read = http.json(at, inside)
    http.delete(at, inside)
    return read
  end,
}
checkpoint "smoke" { owner = "qa", takes = "1m",
  run  = function()
    return { migration = http.json(p.app .. "health/migration", inside), operators = #http.json(p.app .. "operators", inside) }
  end,
  pass = function(r) return not r.migration.migration_in_progress and r.operators > 0 and canary.result.body == "canary 🐤" end,
  fail = { otherwise = rollback "critical smoke test failed" },
}
gate "go live" { role = "lead", ask = "Open traffic on MySQL? From here a rollback loses what users write.",
  within = "10m", otherwise = "rollback" }
step "open traffic" { maintenance.off, owner = "devops", takes = "1m", says = "Live on MySQL 8.",
  loses = function() return db.counts(p.target, tables).total - before.result.rows.total end,
}

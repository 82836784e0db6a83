-- A first playbook, without any server: copy a SQLite database into a second one, and prove that nothing was lost.
-- Try it:            runbook exec playbooks/quickstart.lua --source sqlite:shop.db --target sqlite:new.db
-- Watch it go back:  runbook exec playbooks/quickstart.lua --source sqlite:shop.db --target sqlite:new.db --fault orders
local p = playbook "quickstart" {
  summary = "Copy a SQLite database and prove the copy",
  params  = {
    source = { "database", access = "write", required = true, doc = "database to copy, as sqlite:PATH" },
    target = { "database", access = "write", required = true, empty = true, doc = "empty database to fill, as sqlite:PATH" },
    folder = { "path", default = "backup/", doc = "where the backup goes" },
    fault  = { "string", doc = "table of the copy that loses a row on purpose, to see the way back" },
  },
  roles    = { dba = "Database Engineer", lead = "Lead" },
  needs    = { files = { "folder" } },
  window   = { from = "close the shop", to = "open the shop", target = "5m", max = "15m" },
  rollback = { within = "2m" },
}

local sign = toggle {                                    -- a temporary state: on and off are each other's undo
  on    = function() fs.mkdir(p.folder); fs.write(p.folder .. "closed.txt", "back soon\n") end,
  off   = function() fs.remove(p.folder .. "closed.txt") end,
  state = function() return fs.exists(p.folder .. "closed.txt") and "on" or "off" end,
}

step "close the shop" { sign.on, owner = "lead", takes = "10s", says = "The shop is closed. Taking a backup." }

local before = step "baseline" { owner = "dba", takes = "10s",
  run = function() return { rows = db.counts(p.source) } end,
}
local dump = step "backup" { owner = "dba", takes = "30s", says = "Backup {result.file}, {result.bytes}.",
  run  = function() return backup.create(p.source, { to = p.folder }) end,
  undo = keep "the backup stays",
}
checkpoint "backup restores" { owner = "dba", takes = "30s",
  run  = function() return backup.test_restore(dump.result, nil, { counts = before.result.rows }) end,
  pass = function(r) return r.restored end,
  fail = { otherwise = rollback "the backup cannot be trusted" },
}
step "copy" { owner = "dba", takes = "1m", says = "{result.tables} tables, {result.rows} rows copied. Verifying.",
  retry   = { attempts = 3, on = "db.connection" },
  run     = function() return copy.database(p.source, p.target) end,
  observe = function() return copy.state(p.target) end,
  undo    = function() copy.discard(p.target) end,
}
step "lose a row" { only_if = p.fault ~= nil, takes = "1s",     -- the fault of the demo; a real playbook has no such step
  retry = { attempts = 2, on = "lua", initial = "100ms" },
  run   = function(ctx)
    if ctx.attempt == 1 then error "a first attempt that fails, so that the retry is seen" end
    db.execute(p.target, ('delete from "%s" where rowid = 1'):format(p.fault))
  end,
  undo  = keep "undone with the copy",
}
checkpoint "data verified" { owner = "dba", takes = "30s", says = "Verified: {result.rows} rows, {result.mismatches} differences.",
  run  = function() return verify.database(p.source, p.target, { mode = "full" }) end,
  pass = function(v) return v.coverage == 1 and v.mismatches == 0 and v.unsettled == 0 and #v.unchecked == 0 end,
  fail = { otherwise = rollback "the copy differs from its source" },
}
gate "open" { role = "lead", ask = "Open the shop on the copy?", within = "5m", otherwise = "rollback" }

step "open the shop" { sign.off, owner = "lead", takes = "10s", says = "The shop is open again." }

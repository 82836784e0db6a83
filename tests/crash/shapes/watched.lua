-- a monitor beside steps; a gap through a crash is no data
local p = playbook "watched" { summary = "a monitor over a crash", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
monitor "rows" { from = "one", to = "last", every = "20ms", no_data = { tell "console", after = 1 },
  { function() return db.value(p.world, "select count(*) from effects") end, name = "rows", above = 1000, verdict = rollback "too many" } }
step "one" (e.unit(p.world, "one"))
step "wait" { idempotent = true, run = function() sleep "100ms" end }
step "last" (e.unit(p.world, "last"))

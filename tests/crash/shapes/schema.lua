-- a schema changes in migrations that are only known at run time, behind a flag
local p = playbook "schema" { summary = "migrations one by one", params = { world = { "database", access = "write", required = true } },
  needs = { files = { "./" } } }
local e = require "effects"
local flag = toggle {
  on = function() if not e.standing(p.world, "flag") then e.put(p.world, "flag") end end,
  off = function() e.back(p.world, "flag") end,
  state = function() return e.standing(p.world, "flag") and "on" or "off" end,
}
step "flag on" { flag.on }
step "migrate" {
  run = function(ctx)
    for number = 1, 3 do
      ctx.step(("migration %d"):format(number), e.unit(p.world, ("migration %d"):format(number)))
    end
    return 3
  end,
}
checkpoint "at the newest" { run = function() return e.count(p.world, "migration 3") end, pass = function(n) return n == 1 end }
checkpoint "old schema answers" { on = "rollback", run = function() return e.standing(p.world, "migration 1") end,
  pass = function(there) return there == true end }
step "notes" { run = function() fs.write("notes", "3 migrations") end, undo = function() fs.remove "notes" end,
  observe = function() if fs.exists "notes" then return "done" end return "absent" end }
step "flag off" { flag.off }

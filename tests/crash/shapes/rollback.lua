-- the last step fails: everything goes back, over a checkpoint of the way back
local p = playbook "rollback" { summary = "the last step fails: everything goes back, over a checkpoint of the way back", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
checkpoint "one is back alone" { on = "rollback",
  run = function() return e.standing(p.world, "two") end, pass = function(there) return there == false end }
step "two" (e.unit(p.world, "two"))
step "kept" { run = function() e.put(p.world, "kept") end, undo = keep "it hurts nobody",
  observe = function() return e.standing(p.world, "kept") and "done" or "absent" end }
step "three" (e.unit(p.world, "three"))
step "fails" (e.unit(p.world, "half", { run = function() e.put(p.world, "half") error "it was not to be" end,
  observe = function() return e.standing(p.world, "half") and "partial" or "absent" end }))

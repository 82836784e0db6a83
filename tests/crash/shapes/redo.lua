-- a checkpoint that does not pass before the steps from the second on were done twice
local p = playbook "redo" { summary = "back to a step, and forward again", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
step "two" (e.unit(p.world, "two"))
step "parts" { run = function(ctx)
  for _, name in ipairs { "a", "b" } do ctx.step(name, e.unit(p.world, "part " .. name)) end
end }
step "paid" { run = function(ctx) ctx.transaction(p.world, function() e.put(p.world, "paid") end) end, undo = function() e.back(p.world, "paid") end }
checkpoint "second time" {
  run = function() return e.count(p.world, "two") end,
  pass = function(times) return times >= 2 end,
  fail = { otherwise = redo "two" },
}
step "last" (e.unit(p.world, "last"))

-- a sub-step fails: the sub-steps that started go back, then the steps before
local p = playbook "subrollback" { summary = "sub-steps that go back", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
step "tables" {
  run = function(ctx)
    for _, name in ipairs { "a", "b" } do ctx.step("table " .. name, e.unit(p.world, "table " .. name)) end
    ctx.step("fails", e.unit(p.world, "half", { run = function() e.put(p.world, "half") error "no" end,
      observe = function() return e.standing(p.world, "half") and "partial" or "absent" end }))
  end,
  undo = function() e.back(p.world, "own") end,
}

-- steps that can say whether they are done; capture, verify, results of earlier ones
local p = playbook "plain" { summary = "steps that can say whether they are done; capture, verify, results of earlier ones", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
local one = step "one" (e.unit(p.world, "one"))
step "two" (e.unit(p.world, "two", {
  capture = function() return { before = one.result.name } end,
  verify = function(ctx) return ctx.saved.before == "one" and e.standing(p.world, "two") end,
  says = "two is there",
}))
step "pure" { run = function() return one.result.name .. "!" end }
step "three" (e.unit(p.world, "three"))
-- Two statements: it can be half there, and is then undone and done again.
step "pair" {
  run = function() e.put(p.world, "left") e.put(p.world, "right") end,
  observe = function()
    local left, right = e.standing(p.world, "left"), e.standing(p.world, "right")
    return left and right and "done" or left and "partial" or "absent"
  end,
  undo = function() e.back(p.world, "right") e.back(p.world, "left") end,
}
step "four" (e.unit(p.world, "four"))

-- branches side by side whose undos go in reverse declared order, in whichever order they had ended
local p = playbook "order" { summary = "parallel, and its way back", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
step "beside each other" {
  run = function(ctx)
    parallel {
      function() ctx.step("a", e.unit(p.world, "a")) ctx.step("b", e.unit(p.world, "b")) end,
      function() ctx.step("c", e.unit(p.world, "c")) end,
      function() ctx.step("d", e.unit(p.world, "d")) ctx.step("e", e.unit(p.world, "e")) end,
    }
  end,
}
step "two" (e.unit(p.world, "two"))
step "fails" { undo = keep "it did nothing", idempotent = true, run = function() error "it was not to be" end }

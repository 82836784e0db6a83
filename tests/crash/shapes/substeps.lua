-- what is only known at run time: sub-steps one after the other and side by side, one of them in two halves
local p = playbook "substeps" { summary = "sub-steps", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
local names = step "names" (e.unit(p.world, "names", { run = function() e.put(p.world, "names") return { "a", "b", "c" } end,
  observe = function() if e.standing(p.world, "names") then return "done", { "a", "b", "c" } end return "absent" end }))
step "convert" {
  run = function(ctx)
    local done = {}
    for _, name in ipairs(names.result) do done[#done + 1] = ctx.step("convert " .. name, e.unit(p.world, "converted " .. name)).name end
    ctx.step("halves", {
      run = function(inner)
        if not inner.partial then e.put(p.world, "left") end
        e.put(p.world, "right")
      end,
      observe = function()
        local left, right = e.standing(p.world, "left"), e.standing(p.world, "right")
        return left and right and "done" or left and "partial" or "absent"
      end,
      resumable = true,
      undo = function() e.back(p.world, "right") e.back(p.world, "left") end,
    })
    return done
  end,
}
step "beside each other" {
  run = function(ctx)
    parallel {
      function() ctx.step("x", e.unit(p.world, "x")) end,
      function() ctx.step("y", e.unit(p.world, "y")) ctx.step("z", e.unit(p.world, "z")) end,
    }
  end,
}
step "last" (e.unit(p.world, "last"))

-- effects that are exactly once by themselves: transactions in a step, in sub-steps, and in an undo nobody needs
local p = playbook "transactions" { summary = "ctx.transaction", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
local function put(name) return function() e.put(p.world, name) end end
step "one" { run = function(ctx) ctx.transaction(p.world, put "one") ctx.transaction(p.world, put "two") end,
  undo = function() e.back(p.world, "two") e.back(p.world, "one") end }
step "parts" { undo = keep "they stay",
  run = function(ctx)
    for _, name in ipairs { "a", "b" } do
      ctx.step("part " .. name, { run = function(sub) sub.transaction(p.world, put("part " .. name)) return name end })
    end
  end,
}
step "last" (e.unit(p.world, "last"))

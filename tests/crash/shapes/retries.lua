-- attempts that fail before one works; attempts survive a crash
local p = playbook "retries" { summary = "attempts that fail before one works; attempts survive a crash", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
step "stubborn" { idempotent = true, undo = keep "only marks",
  retry = { attempts = 30, initial = "1ms", max_delay = "5ms", on = "lua" },
  run = function(ctx)
    e.put(p.world, ("attempt %d"):format(ctx.attempt))
    if ctx.attempt < 3 then error "not yet" end
  end,
}
step "two" (e.unit(p.world, "two"))

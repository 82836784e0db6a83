-- what was captured before the effect is what the effect, its observe and its undo see, whichever process asks
local p = playbook "captured" { summary = "capture and ctx.saved", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
local function rows() return db.value(p.world, "select count(*) from effects") end
local function named(ctx) return ("set from %d"):format(ctx.saved.rows) end
local function unit(more)
  local options = {
    capture = function() return { rows = rows() } end, -- another number once the effect is there
    run = function(ctx) e.put(p.world, named(ctx)) return ctx.saved.rows end,
    observe = function(ctx) if e.standing(p.world, named(ctx)) then return "done", ctx.saved.rows end return "absent" end,
    verify = function(ctx) return ctx.saved.rows == ctx.result end,
    undo = function(ctx) e.back(p.world, named(ctx)) end,
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end
step "one" (e.unit(p.world, "one"))
step "set" (unit())
step "set again" (unit())
step "fails" (unit { undo = keep "nothing is left of it", run = function(ctx) error("from " .. ctx.saved.rows) end, observe = function() return "absent" end,
  failure = "continue" })

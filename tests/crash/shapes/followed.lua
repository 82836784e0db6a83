-- a follow-up that `runbook due` starts, a run of its own
local p = playbook "followed" { summary = "a follow-up", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
local one = step "one" (e.unit(p.world, "one"))
step "two" (e.unit(p.world, "two"))
followup "later" { after = "1ms", run = function() e.put(p.world, one.result.name .. " later") end, undo = function() e.back(p.world, "one later") end,
  observe = function() return e.standing(p.world, "one later") and "done" or "absent" end }

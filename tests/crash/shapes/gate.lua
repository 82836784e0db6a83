-- a gate approved beforehand, a checklist, a skipped step
local p = playbook "gate" { summary = "a gate approved beforehand, a checklist, a skipped step", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
checklist "ready" { probe("one is there", function() return e.standing(p.world, "one") end) }
gate "go" { ask = "go on?" }
step "never" (e.unit(p.world, "never", { only_if = false }))
step "two" (e.unit(p.world, "two"))

-- steps that run beside others and are joined
local p = playbook "beside" { summary = "steps that run beside others and are joined", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
step "slow" (e.unit(p.world, "slow", { beside = "three" }))
step "slower" (e.unit(p.world, "slower", { beside = "four" }))
step "two" (e.unit(p.world, "two"))
step "three" (e.unit(p.world, "three"))
step "four" (e.unit(p.world, "four"))

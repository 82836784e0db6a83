-- left alone at a gate, approved from another terminal, and continued
local p = playbook "detached" { summary = "a gate with --detach", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
gate "go" { ask = "go on?" }
step "two" (e.unit(p.world, "two"))
gate "sure" { ask = "sure?", within = "1h", otherwise = "hold" }
step "three" (e.unit(p.world, "three"))

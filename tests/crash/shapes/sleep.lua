-- a sleep that is slept once, whichever processes sleep it
local p = playbook "sleep" { summary = "a durable sleep", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
step "nap" { idempotent = true, undo = keep "it only sleeps", run = function() sleep "1s" return { slept = true } end }
step "two" (e.unit(p.world, "two"))

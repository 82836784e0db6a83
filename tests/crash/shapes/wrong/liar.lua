-- Wrong on purpose: a step that says it may run twice and may not, and one that says it is done and is not.
local p = playbook "liar" { summary = "lies about its effects", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "twice" { idempotent = true, run = function() e.put(p.world, "twice") end, undo = function() e.back(p.world, "twice") end }
step "absent" { run = function() e.put(p.world, "absent") end, undo = function() e.back(p.world, "absent") end, observe = function() return "done" end }

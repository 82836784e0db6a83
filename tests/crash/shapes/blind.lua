-- steps that cannot say whether they are done, and must not run twice
local p = playbook "blind" { summary = "steps that cannot say whether they are done, and must not run twice", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
for _, name in ipairs { "one", "two", "three", "four" } do
  step(name) { run = function() e.put(p.world, name) return name end, undo = function() e.back(p.world, name) end }
end
step "last" { run = function() e.put(p.world, "last") end, undo = keep "nothing follows it" }

-- a checkpoint that does not pass before its one repair
local p = playbook "repair" { summary = "a checkpoint that does not pass before its one repair", params = { world = { "database", access = "write", required = true } } }
local e = require "effects"
step "one" (e.unit(p.world, "one"))
checkpoint "mended" {
  run = function() return e.standing(p.world, "mended") end,
  pass = function(there) return there == true end,
  fail = { otherwise = repair("mend it", function() e.put(p.world, "mended") end) },
}
step "two" (e.unit(p.world, "two"))

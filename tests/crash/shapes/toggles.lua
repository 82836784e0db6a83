-- temporary states, on and off, with work in between
local p = playbook "toggles" { summary = "temporary states, on and off, with work in between", params = { world = { "database", access = "write", required = true } }, needs = { files = { "./" } } }
local e = require "effects"
local page = toggle {
  on = function() fs.write("page", "closed") end,
  off = function() fs.remove "page" end,
  state = function() return fs.exists "page" and "on" or "off" end,
}
local fence = toggle {
  on = function() e.put(p.world, "fence") end,
  off = function() e.take(p.world, "fence") end,
  state = function() return e.standing(p.world, "fence") and "on" or "off" end,
}
step "page on" { page.on }
step "fence on" { fence.on }
step "copy" (e.unit(p.world, "copy"))
checkpoint "closed" { run = function() return fs.exists "page" end, pass = function(there) return there == true end }
step "fence off" { fence.off }
step "page off" { page.off }

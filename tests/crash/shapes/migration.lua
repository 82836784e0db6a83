-- a live application moves to another database: backup, page, fence, copy, proof, switch, traffic again
local p = playbook "migration" { summary = "a live move", params = { world = { "database", access = "write", required = true } },
  needs = { files = { "./" } } }
local e = require "effects"
local function there(name) return function() if fs.exists(name) then return "done" end return "absent" end end
local page = toggle {
  on = function() fs.write("maintenance", "back soon") end,
  off = function() fs.remove "maintenance" end,
  state = function() return fs.exists "maintenance" and "on" or "off" end,
}
local fence = toggle {
  on = function() if not e.standing(p.world, "fence") then e.put(p.world, "fence") end end,
  off = function() e.back(p.world, "fence") end,
  state = function() return e.standing(p.world, "fence") and "on" or "off" end,
}
local config = toggle {
  on = function() fs.write("config", "database = new") end,
  off = function() fs.remove "config" end,
  state = function() return fs.exists "config" and "on" or "off" end,
}
step "backup" { run = function() fs.write("backup", "all of it") end, undo = keep "a backup hurts nobody", observe = there "backup" }
step "page on" { page.on }
step "fence on" { fence.on }
step "copy" (e.unit(p.world, "copy"))
checkpoint "same rows" { run = function() return e.standing(p.world, "copy") end, pass = function(same) return same == true end }
step "switch" { config.on, stays = "the application reads it from now on" }
step "fence off" { fence.off }
step "page off" { page.off }
step "tidy" (e.unit(p.world, "tidied", { retry = { attempts = 2, initial = "1ms", on = "failpoint", undo_first = true } }))

-- a release goes out: build, stop, change, start as three steps, the others beside each other
local p = playbook "deploy" { summary = "a release", params = { world = { "database", access = "write", required = true } },
  needs = { files = { "./" }, shell = { "/bin/sh *" } } }
local e = require "effects"
local function file(name, text)
  return { run = function() fs.write(name, text) end, undo = function() fs.remove(name) end,
    observe = function() if fs.exists(name) then return "done" end return "absent" end }
end
step "build" { run = function() sh.run { "/bin/sh", "-c", "echo built > release" } end, undo = function() fs.remove "release" end,
  observe = function() if fs.exists "release" then return "done" end return "absent" end }
step "log" { run = function() e.put(p.world, "log") end, undo = keep "the log stays",
  observe = function() if e.standing(p.world, "log") then return "done" end return "absent" end }
step "stop" (e.unit(p.world, "stopped"))
step "change" (file("current", "release 2"))
step "start" { run = function() e.take(p.world, "stopped") end, undo = function() if not e.standing(p.world, "stopped") then e.put(p.world, "stopped") end end,
  observe = function() if e.standing(p.world, "stopped") then return "absent" end return "done" end }
step "workers" (e.unit(p.world, "workers", { beside = "announce" }))
step "cache" (e.unit(p.world, "cache", { beside = "announce" }))
step "announce" (e.unit(p.world, "announced"))

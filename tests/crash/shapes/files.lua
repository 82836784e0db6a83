-- files and commands
local p = playbook "files" { summary = "files and commands", params = { world = { "database", access = "write", required = true } }, needs = { files = { "./" }, shell = { "/bin/sh *" } } }
local e = require "effects"
local function file_there(name) return function() if fs.exists(name) then return "done" end return "absent" end end
step "folder" { run = function() fs.mkdir "site" end, undo = function() fs.remove "site" end, observe = file_there "site" }
step "config" { run = function() fs.write("site/config", "port = 1\n") end, undo = function() fs.remove "site/config" end, observe = file_there "site/config" }
step "copy" { run = function() fs.copy("site/config", "site/config.old") end, undo = function() fs.remove "site/config.old" end, observe = file_there "site/config.old" }
step "command" { run = function() sh.run { "/bin/sh", "-c", "echo done > site/mark" } end, undo = function() fs.remove "site/mark" end, observe = file_there "site/mark" }
step "remove" { run = function() fs.remove "site/config.old" end, undo = function() fs.copy("site/config", "site/config.old") end,
  observe = function() if fs.exists "site/config.old" then return "absent" end return "done" end }

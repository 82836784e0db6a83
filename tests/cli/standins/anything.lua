-- A stand-in for a library that does not exist yet: enough for a playbook to load, nothing that runs.
-- M.object(): every field is a function that returns a function; M.library(given): a module whose other functions return objects.
local M = {}

function M.object()
  return setmetatable({}, { __index = function() return function() return function() end end end })
end

function M.library(given)
  return setmetatable(given or {}, { __index = function() return function() return M.object() end end })
end

function M.toggle()
  return toggle { on = function() end, off = function() end, state = function() return "off" end }
end

function M.action() return action { run = function() end, undo = function() end } end

return M

-- Stand-in: a Rails application's commands.
local anything = require "anything"
return anything.library { bundle = function() return anything.action() end }

-- Stand-in: configuration files and unit environments.
local anything = require "anything"
return anything.library { files = anything.action, environment = anything.action }

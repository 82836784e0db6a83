-- Stand-in: backup retention.
local anything = require "anything"
return anything.library()

-- Stand-in: SQL migrations.
local anything = require "anything"
return anything.library()

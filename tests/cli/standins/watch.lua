-- Stand-in: metrics.
local anything = require "anything"
return anything.library { postgres = anything.object, mysql = anything.object, http_service = anything.object }

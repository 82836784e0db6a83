-- Stand-in: documents.
local anything = require "anything"
return anything.library { open = anything.object }

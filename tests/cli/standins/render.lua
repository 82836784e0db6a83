-- Stand-in: the Render API.
local anything = require "anything"
return anything.library()

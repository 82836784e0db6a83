-- Stand-in: feature flags.
local anything = require "anything"
return anything.library()

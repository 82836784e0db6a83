-- Stand-in: systemd units.
local anything = require "anything"
return anything.library()

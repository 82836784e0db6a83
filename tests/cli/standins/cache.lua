-- Stand-in: Redis caches.
local anything = require "anything"
return anything.library { drop_prefix = function() return function() end end }

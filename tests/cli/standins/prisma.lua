-- Stand-in: Prisma migrations.
local anything = require "anything"
return anything.library()

-- Stand-in: Kubernetes workloads.
local anything = require "anything"
return anything.library { scaled = anything.toggle }

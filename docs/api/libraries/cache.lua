---@meta cache
-- Generated from the declarations in stdlib/.

---Caches in Redis. In a playbook: `local cache = require "cache"`, and `needs = { redis = { "cache" } }`.
---@class cachelib
local cache = {}

---@class cache.drop_prefix.options
---@field limit? integer with more keys nothing is removed (100000000)
---@field password? string|secret as for redis.connect
---@field timeout? string|number as for redis.connect
---@field tls? table as for redis.connect
---@field user? string as for redis.connect

---A function that removes the keys under a prefix: for `run` and for `undo`, since a cache that was filled in between is as wrong.
---@param url string redis://host:port/database, or a parameter of type url
---@param prefix string what the keys begin with
---@param options? cache.drop_prefix.options how to connect
---@return function removes them, and returns how many there were
function cache.drop_prefix(url, prefix, options) end

return cache

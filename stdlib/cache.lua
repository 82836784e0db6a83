-- Caches in Redis.
--   local cache = require "cache"
--   step "caches" { undo = cache.drop_prefix(p.cache, "firestore:"), run = cache.drop_prefix(p.cache, "firestore:") }
-- needs.redis: the name of the url parameter, or the host. What is dropped is only ever what begins with the prefix.
local arguments = require "arguments"
local M = {}

-- A function that removes the keys under a prefix and returns how many there were: for `run` and for `undo`, since a cache that was filled in
-- between is as wrong. Options: limit (100000000: with more nothing is removed), user, password, tls, timeout, as for redis.connect.
function M.drop_prefix(url, prefix, options)
  arguments.text("cache.drop_prefix", 1, "url", url)
  arguments.text("cache.drop_prefix", 2, "prefix", prefix)
  local o = arguments.options("cache.drop_prefix", 3, options, { limit = { "number", 100000000 }, user = { "string" }, password = { "any" }, tls = { "table" }, timeout = { "any" } })
  local pattern = prefix:gsub("[%*%?%[%]\\%^]", "\\%0") .. "*" -- a prefix is a text, not a pattern
  return function()
    local connection = redis.connect(url, { user = o.user, password = o.password, tls = o.tls, timeout = o.timeout })
    return connection:delete_matching(pattern, { limit = o.limit })
  end
end

return M

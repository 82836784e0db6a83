-- Caches in Redis.
--   local cache = require "cache"
--   step "caches" { undo = cache.drop_prefix(p.cache, "firestore:"), run = cache.drop_prefix(p.cache, "firestore:") }
-- What is dropped is only ever what begins with the prefix.
local declare = require "declare"
local M, def = declare.module("cache", "Caches in Redis.", 'needs = { redis = { "cache" } }')

def "drop_prefix" {
  doc = "A function that removes the keys under a prefix: for `run` and for `undo`, since a cache that was filled in between is as wrong.",
  { "url", "text", "redis://host:port/database, or a parameter of type url" }, { "prefix", "text", "what the keys begin with" },
  { "options", { limit = { "count", "with more keys nothing is removed", default = 100000000 }, user = { "text", "as for redis.connect" }, password = { "secret", "as for redis.connect" },
    tls = { "table", "as for redis.connect" }, timeout = { "duration", "as for redis.connect" } }, "how to connect" },
  returns = { "function", "removes them, and returns how many there were" }, raises = { "argument" },
  example = [[local drop = cache.drop_prefix("redis://localhost:6379/0", "firestore:")]],
  run = function(url, prefix, o)
    local pattern = prefix:gsub("[%*%?%[%]\\%^]", "\\%0") .. "*" -- a prefix is a text, not a pattern
    return function()
      local connection = redis.connect(url, { user = o.user, password = o.password, tls = o.tls, timeout = o.timeout })
      return connection:delete_matching(pattern, { limit = o.limit })
    end
  end }

return M

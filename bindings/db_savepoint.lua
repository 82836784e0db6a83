local db = ...
local set, pcall, error = db.set_savepoint, pcall, error
local depth = setmetatable({}, { __mode = "k" })
local function ended(connection, level, ok, ...)
  depth[connection] = level - 1
  if not ok then
    if pcall(set, connection, "rollback to savepoint", level) then pcall(set, connection, "release savepoint", level) end
    error((...), 0)
  end
  set(connection, "release savepoint", level)
  return ...
end
return function(connection, fn)
  local level = (depth[connection] or 0) + 1
  set(connection, "savepoint", level)
  depth[connection] = level
  return ended(connection, level, pcall(fn, connection))
end

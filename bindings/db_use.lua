local db = ...
local lend, give_back = db.lend, db.give_back
local pcall, error = pcall, error
local function ended(pool, connection, ok, ...)
  give_back(pool, connection)
  if not ok then error((...), 0) end
  return ...
end
return function(pool, fn)
  local connection = lend(pool)
  return ended(pool, connection, pcall(fn, connection))
end

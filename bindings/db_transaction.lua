local db = ...
local begin, commit, rollback, abandon = db.begin, db.commit, db.rollback, db.abandon
local pcall, error = pcall, error
local function ended(connection, ok, ...)
  if not ok then
    if not pcall(rollback, connection) then abandon(connection) end
    error((...), 0)
  end
  commit(connection)
  return ...
end
return function(connection, fn)
  begin(connection)
  return ended(connection, pcall(fn, connection))
end

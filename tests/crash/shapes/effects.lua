-- What the shapes do to the world: rows of one table, in order. A name that is put is standing until it is taken.
local M = {}

function M.put(db_, name) db.execute(db_, "insert into effects (name) values (?)", name) end
function M.take(db_, name) db.execute(db_, "insert into effects (name) values (?)", "-" .. name) end
function M.count(db_, name) return db.value(db_, "select count(*) from effects where name = ?", name) end
function M.standing(db_, name) return M.count(db_, name) > M.count(db_, "-" .. name) end
-- An undo that may run twice: an interrupted one is run again.
function M.back(db_, name) if M.standing(db_, name) then M.take(db_, name) end end

-- Options of a step that puts `name`, can say whether it did, and goes back.
function M.unit(db_, name, more)
  local options = {
    run = function() M.put(db_, name) return { name = name } end,
    observe = function() if M.standing(db_, name) then return "done", { name = name } end return "absent" end,
    undo = function() M.back(db_, name) end,
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end

return M

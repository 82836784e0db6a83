local values = ...
local set = values.set
values.set = nil -- takes what it is given: only from here
return function(name, methods)
  if not name:find "^[%a_][%w_]*%.[%w_.]+$" then
    error({ kind = "argument", message = ("values.type: argument 1 'name': '%s': library.name expected"):format(name) }, 0)
  end
  local meta = set(name, methods)
  return function(value) return setmetatable(value, meta) end
end

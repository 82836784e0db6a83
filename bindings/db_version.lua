local db = ...
local parse, ask, type = db.parse_version, db.server_version, type
return function(of)
  if type(of) == "string" then return parse(of) end
  return ask(of)
end

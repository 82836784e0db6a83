-- The environment of the prompt: the playbook's, plus names that stay from line to line, print and help.
-- Runs once per session; returns a function that makes the environment.
local host = ...
local rawget, rawset, pairs, type, setmetatable, select, concat = rawget, rawset, pairs, type, setmetatable, select, table.concat

return function(sandbox, native)
  local env = {}
  setmetatable(env, {
    __metatable = false,
    __index = function(_, name)
      local value = rawget(sandbox, name)
      if value ~= nil then return value end
      local known = {}
      for key in pairs(sandbox) do known[key] = true end
      for key in pairs(env) do known[key] = true end
      host.undefined(name, known)
    end,
  })
  rawset(env, "_G", env)

  function env.print(...)
    local words = {}
    for i = 1, select("#", ...) do words[i] = native.show((select(i, ...))) end
    native.write(concat(words, "\t") .. "\n")
  end

  -- help() lists the areas, help "db.query" and help(db.query) show one function.
  function env.help(what)
    local name = what
    if type(what) == "table" or type(what) == "function" then
      name = nil
      for area, content in pairs(sandbox) do
        if content == what then name = area end
        if type(content) == "table" and area ~= "_G" then
          for key, value in pairs(content) do
            if value == what and type(key) == "string" then name = area .. "." .. key end
          end
        end
      end
      if not name then name = type(what) end
    end
    native.write(native.help(name))
  end
  return env
end

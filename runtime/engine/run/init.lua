-- Puts the files of a run together. Each gets this one table and finds the others in it by name, loaded when the first asks for
-- it: most runs need half of them. Returns main's table.
local host, program = ...
local engine = setmetatable({ host = host, program = program }, {
  __index = function(engine, name)
    local part = host.chunk("runtime/engine/run/" .. name .. ".lua")(engine)
    engine[name] = part
    return part
  end,
})
-- These have an effect of their own when they are loaded: words of the language get their meaning.
local _ = engine.live, engine.compose, engine.history
engine.main.dry = function(...) return engine.dry.run(...) end
if host.rehearsal then host.rehearsal(engine) end -- a test: faults and crashes at named places
return engine.main

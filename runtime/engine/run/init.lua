-- Puts the files of a run together. Each gets this one table and finds the others in it by name. Returns main's table.
local host, program = ...
local engine = { host = host, program = program }
for _, name in ipairs {
  "common", "live", "judge", "people", "decision", "agreement", "doubt",
  "step", "substep", "substep_undo", "compose", "watch", "transaction",
  "checkpoint", "gate", "checklist",
  "rollback", "dry", "redo",
  "sample", "finding", "monitor",
  "time", "window", "outbox", "says", "updates", "ahead", "notices", "goals", "followup", "history",
  "ending", "restore", "main",
} do
  engine[name] = host.chunk("runtime/engine/run/" .. name .. ".lua")(engine)
end
engine.main.dry = engine.dry.run
if host.rehearsal then host.rehearsal(engine) end -- a test: faults and crashes at named places
return engine.main

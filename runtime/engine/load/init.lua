-- Puts the files of the load phase together: the words that a playbook declares with, and the program that they fill.
local host = ...
local function file(name, ...) return host.chunk("runtime/engine/load/" .. name .. ".lua")(...) end
file("prelude", host)
local options = file "options"
local language = file("language", host, options, file("params", host))
language.dates = file("dates", host)
for _, name in ipairs { "playbook", "step", "checkpoint", "people", "level", "monitor", "expect", "time", "compose", "followup", "schedule" } do file("words/" .. name, language) end

local program = {
  options = options,
  words = language.words, track = language.track, names = language.names, header = function() return language.header end,
  followups = language.followups, after_rollback = language.after_rollback, dates = language.dates, notices = language.notices, list_of = language.list_of, template = language.template, post_template = language.post_template, language = language,
  late_checks = language.late_checks,
  classes = { Verdict = language.Verdict, Action = language.Action, Way = language.Way }, is = language.is, label = language.label,
  composition = language.composition, check_step_options = language.check_step_options,
}
setmetatable(program, { __index = function(_, key)
  if key == "parameters" then return language.header and language.header.parameters or {} end
end })
program.asked = file("asked", host, program)
language.asked = program.asked
file("channels", host, program)
file("followup", host, program)
file("window", host, program)
file("around", host, program)
file("describe", host, program)
file("contradictions", host, program)
return file("complete", host, program)

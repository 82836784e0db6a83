-- The header of a playbook, and headings between its items.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, check_options = language.fail, language.label, language.check_options
local declare, two_part, params = language.declare, language.two_part, language.params

words.playbook = two_part("playbook", function(_, name, t)
  if language.header then fail(3, ("playbook \"%s\": the file has a playbook already (\"%s\")"):format(name, language.header.name)) end
  local who = label("playbook", name)
  check_options(who, t, options.playbook, 3)
  for _, part in ipairs { "window", "rollback", "ask", "needs" } do
    if t[part] then check_options(("%s: %s"):format(who, part), t[part], options[part], 3) end
  end
  for _, question in ipairs { t.ask or {} } do
    if question.otherwise and question.otherwise ~= "rollback" and question.otherwise ~= "hold" then
      fail(3, ("%s: ask: option 'otherwise': rollback or hold expected, got '%s'"):format(who, question.otherwise))
    end
  end
  for i, lock in ipairs(type(t.lock) == "table" and t.lock or { t.lock }) do
    if type(lock) ~= "string" or lock == "" then fail(3, ("%s: option 'lock': item %d: a name expected, got %s"):format(who, i, lock == "" and "an empty one" or host.type_word(lock))) end
  end
  language.check_times(who, t)
  local schedules = language.check_schedules(who, name, t)
  local file, line = host.where()
  local header = { name = name, t = t, file = file, line = line, schedules = schedules }
  language.header = header
  header.values, header.parameters = params.declare(who, t.params or {}, options.parameter, check_options, fail)
  return header.values
end)

function words.phase(name) declare("phase", name, {}, 2) end

-- `checkpoint` and its verdicts: what is looked at, and what follows where it did not pass.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, is, check_options = language.fail, language.label, language.is, language.check_options
local check_functions, declare, two_part, new_handle, Verdict = language.check_functions, language.declare, language.two_part, language.new_handle, language.Verdict

words.checkpoint = two_part("checkpoint", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.checkpoint, 3)
  check_functions(who, t, 3)
  if not t.run then fail(3, who .. ": option 'run' is required: what is looked at") end
  if not t.pass then fail(3, who .. ": option 'pass' is required: a checkpoint passes only where it returns true") end
  if t.on and t.on ~= "rollback" then fail(3, ("%s: option 'on': rollback expected, got '%s'"):format(who, t.on)) end
  local function judged(where, value)
    local found, problem = language.as_verdict(value)
    if not found then fail(4, ("%s: %s: %s"):format(who, where, problem)) end
    if found.verdict == "cancel_statement" then fail(4, ("%s: %s: cancel_statement is for monitors: nothing runs while a checkpoint is judged"):format(who, where)) end
    return found
  end
  for i, row in ipairs(t.fail or {}) do
    if type(row) ~= "table" or is(row, Verdict) or type(row.when) ~= "function" then
      fail(3, ("%s: fail row %d: { when = function, verdict } expected"):format(who, i))
    end
    row[1] = judged(("fail row %d"):format(i), row[1])
  end
  if t.fail and t.fail.otherwise ~= nil then t.fail.otherwise = judged("fail.otherwise", t.fail.otherwise) end
  return new_handle(declare(kind, name, t, 3))
end)

-- Verdicts, the strictest last.
local severity = { tell = 0, cancel_statement = 1, pause = 2, repair = 3, redo = 4, ask = 5, hold = 6, rollback = 7 }
local function verdict(kind, fields)
  fields.__class, fields.verdict, fields.severity = Verdict, kind, severity[kind]
  return setmetatable(fields, Verdict)
end
local function text(word, what, value, optional)
  if type(value) ~= "string" and not (optional and value == nil) then fail(3, ("%s: argument 1 '%s': string expected, got %s"):format(word, what, host.type_word(value))) end
  return value
end
function words.rollback(why, more) return verdict("rollback", { why = text("rollback", "why", why, true), way = more and more.way }) end
function words.hold(why) return verdict("hold", { why = text("hold", "why", why, true) }) end
function words.ask(role) return verdict("ask", { roles = type(role) == "table" and role or { role } }) end
function words.pause(why) return verdict("pause", { why = text("pause", "why", why, true) }) end
function words.cancel_statement(why) return verdict("cancel_statement", { why = text("cancel_statement", "why", why, true) }) end
function words.repair(why, fn)
  if type(why) == "function" then why, fn = "repair", why end
  if type(fn) ~= "function" then fail(2, "repair: a function expected") end
  return verdict("repair", { why = why, fn = fn })
end
function words.redo(step, more)
  text("redo", "step", step)
  local times = type(more) == "table" and more.times or 1
  if type(times) ~= "number" or times < 1 or times % 1 ~= 0 then fail(2, "redo: times: a whole number above 0 expected, got " .. tostring(times)) end
  return verdict("redo", { step = step, times = times, why = ('again from "%s"'):format(step) })
end
function words.tell(channels)
  local list = type(channels) == "table" and channels or { channels }
  if #list == 0 then fail(2, "tell: a channel expected, got " .. host.type_word(channels)) end
  for _, name in ipairs(list) do text("tell", "channel", name) end
  return verdict("tell", { channels = list, why = "tell " .. table.concat(list, ", ") })
end

-- What a table of verdicts may hold: a verdict, or the name of one that needs nothing more. Nil and what is wrong otherwise.
local by_name = { hold = words.hold, rollback = words.rollback, pause = words.pause, cancel_statement = words.cancel_statement }
function language.as_verdict(value)
  if is(value, Verdict) then return value end
  if type(value) == "string" then
    if by_name[value] then return by_name[value]() end
    if severity[value] then return nil, ("verdict '%s' needs to know more: write it as %s(…)"):format(value, value) end
    return nil, ("no verdict '%s'%s"):format(value, host.did_you_mean(value, severity))
  end
  if type(value) == "function" then
    for name in pairs(severity) do
      if words[name] == value then return nil, ("verdict %s: call it, as in %s \"…\""):format(name, name) end
    end
  end
  return nil, ("a verdict (%s) expected, got %s"):format("rollback, hold, ask, redo, repair, pause, tell", host.type_word(value))
end

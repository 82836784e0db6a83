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
  for i, row in ipairs(t.fail or {}) do
    if type(row) ~= "table" or type(row.when) ~= "function" or not is(row[1], Verdict) then
      fail(3, ("%s: fail row %d: { when = function, verdict } expected"):format(who, i))
    end
  end
  if t.fail and t.fail.otherwise and not is(t.fail.otherwise, Verdict) then
    fail(3, who .. ": fail.otherwise: a verdict (rollback, hold, ask, repair) expected, got " .. host.type_word(t.fail.otherwise))
  end
  return new_handle(declare(kind, name, t, 3))
end)

-- Verdicts, the strictest last.
local severity = { tell = 0, go_on = 1, repair = 2, ask = 3, hold = 4, rollback = 5 }
local function verdict(kind, fields)
  fields.__class, fields.verdict, fields.severity = Verdict, kind, severity[kind]
  return setmetatable(fields, Verdict)
end
function words.rollback(why, more) return verdict("rollback", { why = why, way = more and more.way }) end
function words.hold(why) return verdict("hold", { why = why }) end
function words.ask(role) return verdict("ask", { roles = type(role) == "table" and role or { role } }) end
function words.repair(why, fn)
  if type(why) == "function" then why, fn = "repair", why end
  if type(fn) ~= "function" then fail(2, "repair: a function expected") end
  return verdict("repair", { why = why, fn = fn })
end

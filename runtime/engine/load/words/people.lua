-- `gate` and `checklist`: what people decide.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, is = language.fail, language.label, language.is
local check_options, declare, two_part, new_handle = language.check_options, language.declare, language.two_part, language.new_handle

words.gate = two_part("gate", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.gate, 3)
  if not t.ask then fail(3, who .. ": option 'ask' is required: the question") end
  if t.otherwise and t.otherwise ~= "rollback" and t.otherwise ~= "hold" then
    fail(3, ("%s: option 'otherwise': rollback or hold expected, got '%s'"):format(who, t.otherwise))
  end
  return new_handle(declare(kind, name, t, 3))
end)

words.checklist = two_part("checklist", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.checklist, 3)
  for i = 1, #t do
    if not is(t[i], "probe") and not is(t[i], "confirm") then fail(3, ("%s: item %d: probe(text, fn) or confirm(role, text) expected"):format(who, i)) end
  end
  if #t == 0 then fail(3, who .. ": has no items") end
  return new_handle(declare(kind, name, t, 3))
end)

function words.probe(text, fn)
  if type(fn) ~= "function" then fail(2, ("probe: argument 2 'fn': function expected, got %s"):format(host.type_word(fn))) end
  return { __class = "probe", text = text, fn = fn }
end
function words.confirm(role, text) return { __class = "confirm", role = role, text = text } end

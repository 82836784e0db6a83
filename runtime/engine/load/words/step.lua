-- `step`: one unit of work. `keep`, `toggle` and `action`: ways back and what libraries return.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, is, check_options, check_functions = language.fail, language.label, language.is, language.check_options, language.check_functions
local declare, two_part, new_handle, Action, Way, flatten_actions = language.declare, language.two_part, language.new_handle, language.Action, language.Way, language.flatten_actions

words.step = two_part("step", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.step, 3)
  check_functions(who, t, 3)
  if t.retry then check_options(who .. ": retry", t.retry, options.retry, 3) end
  if t.failure and t.failure ~= "continue" and t.failure ~= "rollback" then
    fail(3, ("%s: option 'failure': continue or rollback expected, got '%s'"):format(who, t.failure))
  end
  local item = declare(kind, name, t, 3)
  item.actions = flatten_actions(who, t)
  if #item.actions == 0 and not t.run and not t.manual then fail(3, who .. ": has nothing to do: give it run, manual or an action") end
  if #item.actions > 0 and t.run then fail(3, who .. ": has both an action and run: put the action into a step of its own") end
  return new_handle(item)
end)

function words.toggle(t)
  check_options("toggle", t, options.toggle, 2)
  check_functions("toggle", t, 2)
  for _, key in ipairs { "on", "off", "state" } do
    if not t[key] then fail(2, ("toggle: option '%s' is required"):format(key)) end
  end
  local result = {}
  for _, to in ipairs { "on", "off" } do
    local back = to == "on" and "off" or "on"
    result[to] = setmetatable({ __class = Action, toggle = t, to = to, run = t[to], undo = t[back],
      observe = function(...)
        local state = t.state(...)
        return state == to and "done" or state == back and "absent" or "unknown"
      end }, Action)
  end
  result.state = t.state
  return result
end

-- A library's action: `return action { run = …, undo = …, observe = … }`, used as `step "x" { service.stopped "app" }`.
function words.action(t)
  if type(t.run) ~= "function" then fail(2, "action: option 'run' is required") end
  return setmetatable({ __class = Action, run = t.run, undo = t.undo, observe = t.observe, capture = t.capture }, Action)
end

function words.keep(why)
  if type(why) ~= "string" then fail(2, ("keep: argument 1 'why': string expected, got %s"):format(host.type_word(why))) end
  return setmetatable({ __class = Way, keep = why }, Way)
end

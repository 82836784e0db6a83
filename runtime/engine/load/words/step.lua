-- `step`: one unit of work. `keep`, `toggle` and `action`: ways back and what libraries return.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, is, check_options, check_functions = language.fail, language.label, language.is, language.check_options, language.check_functions
local declare, two_part, new_handle, Action, Way, flatten_actions = language.declare, language.two_part, language.new_handle, language.Action, language.Way, language.flatten_actions

-- Checks shared by steps and sub-steps, which are named only while they run.
function language.check_retry(who, retry, level)
  if retry == nil then return end
  check_options(who, retry, options.retry, level + 1)
  local attempts = retry.attempts
  if attempts and (attempts < 1 or attempts % 1 ~= 0) then
    fail(level + 1, ("%s: option 'attempts': a whole number from 1 expected, got %s"):format(who, tostring(attempts)), "it counts the first attempt")
  end
  if retry.backoff and not (retry.backoff >= 1) then
    fail(level + 1, ("%s: option 'backoff': a number from 1 expected, got %s"):format(who, tostring(retry.backoff)))
  end
end

function language.check_step_options(who, t, known, level)
  level = level or 2
  check_options(who, t, known, level + 1)
  check_functions(who, t, level + 1)
  for _, key in ipairs { "retry", "undo_retry" } do language.check_retry(who .. ": " .. key, t[key], level + 1) end
  if known == options.substep and t.undo and type(t.undo) ~= "function" and not is(t.undo, Way) then
    fail(level + 1, ("%s: option 'undo': a function or keep \"why\" expected, got %s"):format(who, host.type_word(t.undo)))
  end
end

local function check_overdue(who, overdue, level)
  if overdue == nil then return end
  if type(overdue) ~= "table" then return check_options(who, { overdue = overdue }, { overdue = { type = "duration" } }, level + 1) end
  check_options(who .. ": overdue", overdue, options.overdue, level + 1)
  if not overdue.after then fail(level + 1, who .. ": overdue: option 'after' is required") end
  if overdue.verdict and not (is(overdue.verdict, language.Verdict) and overdue.verdict.verdict == "ask") then
    fail(level + 1, who .. ": overdue: option 'verdict': ask \"role\" expected, got " .. host.type_word(overdue.verdict))
  end
end

words.step = two_part("step", function(kind, name, t)
  local who = label(kind, name)
  language.check_step_options(who, t, options.step, 3)
  check_overdue(who, t.overdue, 3)
  local not_before = t.not_before and language.date(who, "not_before", t.not_before, 3, true)
  if t.failure and t.failure ~= "continue" and t.failure ~= "rollback" then
    fail(3, ("%s: option 'failure': continue or rollback expected, got '%s'"):format(who, t.failure))
  end
  local item = declare(kind, name, t, 3)
  item.not_before = not_before
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
  return setmetatable({ __class = Action, run = t.run, undo = t.undo, observe = t.observe, capture = t.capture, undo_last = t.undo_last }, Action)
end

function words.keep(why)
  if type(why) ~= "string" then fail(2, ("keep: argument 1 'why': string expected, got %s"):format(host.type_word(why))) end
  return setmetatable({ __class = Way, keep = why }, Way)
end

-- Faults on order: an error in a step, the end of the process at a named point, code of the test when something happens.
local test = ...
local host, say = test.host, test.say
local M = {}

local errors, crashes, hooks, timers = {}, {}, {}, {}

local places = { run = 1, after = 1, undo = 1 }
function M.fail(name, problem, options)
  say.check(type(name) == "string", "fail: argument 1", "the name of a step", name)
  options = say.options("fail", options, { times = "number", at = "string" })
  local at = options.at or "run"
  if not places[at] then say.wrong(("fail: option 'at': run, after or undo expected, got '%s'"):format(at)) end
  if type(problem) == "string" then problem = { message = problem } end
  say.check(type(problem) == "table", "fail: argument 2", 'a message or { kind = "…", message = "…" }', problem)
  problem = say.options("fail: the error", problem, { kind = "string", message = "string", hint = "string", in_doubt = "boolean", retry_after = "number", sqlstate = "string" })
  errors[#errors + 1] = { name = name, at = at, problem = problem, left = options.times or 1, used = false }
end

local function fire(name, at)
  for _, one in ipairs(errors) do
    if one.name == name and one.at == at and one.left > 0 then
      one.left, one.used = one.left - 1, true
      local problem = {}
      for key, value in pairs(one.problem) do problem[key] = value end
      problem.kind, problem.message = problem.kind or "lua", problem.message or "an error that the test injected"
      local _, raised = host.try(host.raise, problem.kind, problem.message, problem.hint)
      raised.in_doubt, raised.retry_after, raised.sqlstate = problem.in_doubt, problem.retry_after, problem.sqlstate
      error(raised, 0)
    end
  end
end

-- Each point is an event of the journal, and whether the crash comes before it is written.
local points = {
  before = { { "step.started", "substep.started" }, false }, after = { { "step.finished", "substep.finished", "checkpoint.judged" }, true },
  finished = { { "step.finished", "substep.finished", "checkpoint.judged" }, false }, undo = { { "undo.finished", "substep.undone" }, true },
}
function M.crash(name, point)
  if name == nil and point == nil then return host.crash() end
  say.check(type(name) == "string", "crash: argument 1", "the name of a step", name)
  point = point == nil and "after" or point
  say.check(type(point) == "string", "crash: argument 2", "a point", point)
  local one = { name = name, left = 1, point = point }
  if points[point] then one.events, one.early = {}, points[point][2]
    for _, event in ipairs(points[point][1]) do one.events[event] = true end
  elseif test.fakes.functions[point] then one.call = point
  elseif point:match "^[%a_]+%.[%a_]+$" then one.events, one.early = { [point] = true }, false
  else
    local choices = {}
    for known in pairs(points) do choices[known] = 1 end
    for known in pairs(test.fakes.functions) do choices[known] = 1 end
    say.wrong(("crash: argument 2: before, after, finished, undo, a function or an event expected, got '%s'%s"):format(point, host.did_you_mean(point, choices)))
  end
  crashes[#crashes + 1] = one
end

local function meets(one, event, step, data, early)
  if one.left == 0 or not one.events or not one.events[event] or one.early ~= early then return false end
  if one.name == step then return event:sub(1, 8) ~= "substep." end
  return data and data.name and one.name == ("%s/%s"):format(step, data.name)
end

local function crash_at(event, step, data, early)
  for _, one in ipairs(crashes) do
    if meets(one, event, step, data, early) then
      one.left = 0
      host.crash()
    end
  end
end

-- A fake of that name has returned, in that step.
function M.called(function_name, step)
  for _, one in ipairs(crashes) do
    if one.left > 0 and one.call == function_name and one.name == step then
      one.left = 0
      host.crash()
    end
  end
end

function M.on(event, name, fn)
  if type(name) == "function" then name, fn = nil, name end
  say.check(type(event) == "string", "on: argument 1", 'an event such as "step.finished"', event)
  say.check(name == nil or type(name) == "string", "on: argument 2", "the name of a step", name)
  say.check(type(fn) == "function", "on: the last argument", "a function", fn)
  hooks[#hooks + 1] = { event = event, name = name, fn = fn }
end

local function call(fn, ...)
  local ok, problem = host.try(fn, ...)
  if not ok then say.note(problem) end
end

local function start(timer)
  host.spawn(function()
    host.sleep(timer.seconds)
    call(timer.fn)
  end)
end

function M.after(duration, fn)
  local seconds = say.seconds("after: argument 1", duration)
  say.check(type(fn) == "function", "after: argument 2", "a function", fn)
  local timer = { seconds = seconds, fn = fn }
  if test.running then start(timer) else timers[#timers + 1] = timer end
end

-- What the test ordered and the run never met: a name that is misspelt would make the test prove nothing.
function M.unmet(names)
  local list = {}
  for _, one in ipairs(errors) do
    if not one.used and not names[one.name] then list[#list + 1] = ('fail("%s"): the run has no step of that name%s'):format(one.name, host.did_you_mean(one.name, names)) end
  end
  for _, one in ipairs(crashes) do
    if one.left > 0 and not names[one.name] then list[#list + 1] = ('crash("%s"): the run has no step of that name%s'):format(one.name, host.did_you_mean(one.name, names)) end
  end
  return list
end

function M.prepare(run_host)
  local append = run_host.append
  function run_host.append(event, step, data)
    crash_at(event, step, data, true)
    local answer = append(event, step, data)
    crash_at(event, step, data, false)
    test.people.saw(event, step, data)
    test.outcome.saw(event, step, data)
    for _, hook in ipairs(hooks) do
      if hook.event == event and (hook.name == nil or hook.name == step or data and hook.name == ("%s/%s"):format(step, tostring(data.name))) then
        call(hook.fn, { event = event, step = step, data = data })
      end
    end
    return answer
  end
end

function M.linked(engine)
  local step_body, sub_body, undo_body, look = engine.step.body, engine.substep.body, engine.rollback.body, engine.judge.look
  local function between(name, body, ...)
    fire(name, "run")
    local result = body(...)
    fire(name, "after")
    return result
  end
  function engine.step.body(item, ctx)
    if item.replaying then return step_body(item, ctx) end
    return between(item.name, step_body, item, ctx)
  end
  function engine.substep.body(sub, ctx) return between(("%s/%s"):format(sub.item.name, sub.name), sub_body, sub, ctx) end
  function engine.rollback.body(item, ...)
    fire(item.name, "undo")
    return undo_body(item, ...)
  end
  function engine.judge.look(run, pass, ctx)
    fire(ctx.name, "run")
    return look(run, pass, ctx)
  end
  local now = timers
  timers = {}
  for _, timer in ipairs(now) do start(timer) end
end

return M

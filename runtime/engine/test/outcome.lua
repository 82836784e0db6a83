-- How a run ended, as a test asks it: read from the journal of the run, where everything stands that it did.
local test = ...
local host, say = test.host, test.say
local M = {}

local names = {} -- of the items of the run that goes on: what fail() and crash() may name
function M.linked(engine)
  names = {}
  for name in pairs(engine.program.names) do names[name] = true end
end
function M.saw(event, step, data)
  if event:sub(1, 8) == "substep." then names[("%s/%s"):format(step, tostring(data.name))] = true end
end
function M.names() return names end

local Run = {}
Run.__index = Run

local function add_once(list, name)
  for _, known in ipairs(list) do
    if known == name then return end
  end
  list[#list + 1] = name
end

local readers = {}
readers["step.started"] = function(run, step, data)
  run.attempts[step] = (run.attempts[step] or 0) + 1
  if data.kind == "step" then add_once(run.steps, step) end
end
readers["step.finished"] = function(run, step, data) run.results[step] = data.result end
readers["step.failed"] = function(run, step, data)
  add_once(run.failed, step)
  run.errors[step] = data.error
end
readers["step.skipped"] = function(run, step) add_once(run.skipped, step) end
readers["checkpoint.judged"] = function(run, step, data)
  run.results[step] = data.result
  run.verdicts[step] = data.passed and "passed" or data.verdict
  if data.error then run.errors[step] = data.error end
end
readers["substep.started"] = function(run, step, data)
  local name = ("%s/%s"):format(step, data.name)
  run.attempts[name] = (run.attempts[name] or 0) + 1
  add_once(run.steps, name)
end
readers["substep.finished"] = function(run, step, data) run.results[("%s/%s"):format(step, data.name)] = data.result end
readers["substep.failed"] = function(run, step, data) run.errors[("%s/%s"):format(step, data.name)] = data.error end
readers["substep.undone"] = function(run, step, data) run.undone[#run.undone + 1] = ("%s/%s"):format(step, data.name) end
readers["undo.finished"] = function(run, step) run.undone[#run.undone + 1] = step end
readers["undo.failed"] = readers["step.failed"]
readers["undo.kept"] = function(run, step) add_once(run.kept, step) end -- said again by a rollback that goes on
readers["gate.opened"] = function(run, step, data) run.asked[#run.asked + 1] = data.item or step end
readers["decision.asked"] = function(run, step) run.asked[#run.asked + 1] = step end
readers["monitor.breached"] = function(run, step, data) run.verdicts[step] = data.verdict end
readers["notify.sent"] = function(run, step, data)
  local last = run.messages[#run.messages]
  if last and data.key and last.key == data.key then last.to[#last.to + 1] = data.channel return end
  run.messages[#run.messages + 1] = { text = data.text, to = { data.channel }, step = step ~= "" and step or nil, key = data.key }
end
readers["run.finished"] = function(run, _, data) run.why, run.outcome = data.why, data.outcome end
readers["run.held"] = function(run, _, data) run.why, run.outcome, run.left_on = data.why, data.outcome, data.left_on end

-- The run that `answer` (of rehearsal.cpp) tells of.
function M.of(answer)
  local run = setmetatable({ id = answer.run, exit = answer.exit, outcome = answer.outcome, steps = {}, undone = {}, kept = {}, skipped = {}, failed = {},
    attempts = {}, results = {}, errors = {}, verdicts = {}, asked = {}, messages = {}, calls = test.fakes.calls, events = answer.events or {} }, Run)
  for _, event in ipairs(run.events) do
    local reader = readers[event.event]
    if reader then reader(run, event.step, event.data) end
  end
  if #run.events > 0 then run.elapsed = run.events[#run.events].at - run.events[1].at end
  local problem = answer.error
  if problem and problem.kind == "test.crash" then run.outcome, run.exit = "crashed", nil
  elseif problem then run.outcome, run.why = "refused", problem.hint and ("%s (%s)"):format(problem.message, problem.hint) or problem.message end
  run.outcome = run.outcome or "refused"
  return run
end

-- The calls of one function, in order.
function Run:called(name)
  if not test.fakes.functions[name] then say.wrong(("called: nothing is named '%s'%s"):format(tostring(name), host.did_you_mean(tostring(name), test.fakes.functions))) end
  local list = {}
  for _, call in ipairs(self.calls) do
    if call.name == name then list[#list + 1] = call end
  end
  return list
end

local function texts(messages)
  local list = {}
  for i, message in ipairs(messages) do list[i] = message.text end
  return list
end

-- Each compares what the test expects with the run: nil where it holds, else what the run has.
local compare = {}
local function whole(key) compare[key] = function(run, expected) return not say.same(expected, run[key]) and { run[key] } or nil end end
for _, key in ipairs { "exit", "outcome", "steps", "undone", "kept", "skipped", "failed", "asked" } do whole(key) end
local function parts(key)
  compare[key] = function(run, expected)
    local got, wrong = {}, false
    for name, value in pairs(expected) do
      got[name] = run[key][name]
      if got[name] == nil then got[name] = "none" end
      wrong = wrong or not say.same(value, run[key][name])
    end
    return wrong and { got } or nil
  end
end
for _, key in ipairs { "verdicts", "attempts", "results" } do parts(key) end
function compare.errors(run, expected)
  local got, wrong = {}, false
  for name, text in pairs(expected) do
    got[name] = (run.errors[name] or {}).message or "none"
    wrong = wrong or not got[name]:find(text, 1, true)
  end
  return wrong and { got } or nil
end
function compare.why(run, expected) return not (run.why or ""):find(expected, 1, true) and { run.why } or nil end
function compare.messages(run, expected)
  local got = texts(run.messages)
  for i = 1, math.max(#got, #expected) do
    if not got[i] or not expected[i] or not got[i]:find(expected[i], 1, true) then return { got } end
  end
end
function compare.elapsed(run, expected)
  local seconds = say.seconds("elapsed", expected)
  if math.abs((run.elapsed or 0) - seconds) > 0.0005 then return { host.duration_text(run.elapsed or 0) } end
end
function compare.calls(run, expected)
  local got = {}
  for i, call in ipairs(run.calls) do got[i] = call.text end
  if #got ~= #expected then return { got } end
  for i, text in ipairs(expected) do
    if got[i] ~= text and run.calls[i].name ~= text then return { got } end
  end
end
function compare.called(run, expected)
  local got, wrong = {}, false
  for name, count in pairs(expected) do
    got[name] = #run:called(name)
    wrong = wrong or got[name] ~= count
  end
  return wrong and { got } or nil
end
local types = { exit = "number", outcome = "string", why = "string", elapsed = "any" }

-- run:expect { outcome = "rolled_back", undone = { "copy" } }: everything that differs, at once.
function Run:expect(expected)
  say.check(type(expected) == "table", "expect", "a table such as { outcome = \"succeeded\" }", expected)
  local wrong = {}
  for _, key in ipairs(host.sorted_keys(expected)) do
    if not compare[key] then say.wrong(("expect: unknown fact '%s'%s"):format(tostring(key), host.did_you_mean(tostring(key), compare))) end
    local wanted = types[key] or "table"
    if wanted ~= "any" and type(expected[key]) ~= wanted then say.wrong(("expect: fact '%s': %s expected, got %s"):format(key, wanted, host.type_word(expected[key]))) end
    local got = compare[key](self, expected[key])
    if got then wrong[#wrong + 1] = ("%s: expected %s, got %s"):format(key, say.shown(expected[key]), say.shown(got[1])) end
  end
  if #wrong == 0 then return self end
  wrong[#wrong + 1] = ("the run: %s%s%s"):format(self.outcome, self.exit and (", exit %d"):format(self.exit) or "", self.why and ": " .. self.why or "")
  for _, name in ipairs(host.sorted_keys(self.errors)) do
    local problem = self.errors[name]
    local where = problem.where and ("%s:%d: "):format(problem.where.file, problem.where.line) or ""
    if not (self.why or ""):find(problem.message, 1, true) then wrong[#wrong + 1] = ("%s failed: %s%s"):format(name, where, problem.message) end
  end
  say.fail(table.concat(wrong, "\n"))
end

return M

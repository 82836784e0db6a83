-- The words of a test file, and the runs that they start.
local test = ...
local host, say = test.host, test.say
local M = {}
test.environment = {}

local words = {}
test.vocabulary = words

function words.test(name, fn)
  say.check(type(name) == "string" and name ~= "", "test: argument 1", "what it proves, in quotes", name)
  say.check(type(fn) == "function", "test: argument 2", "a function", fn)
  local _, line = host.where()
  for _, other in ipairs(test.tests) do
    if other.name == name then say.wrong(('test "%s": there is one of that name already, at line %d'):format(name, other.line)) end
  end
  test.tests[#test.tests + 1] = { name = name, line = line, fn = fn }
end

words.fake, words.fail, words.crash, words.on, words.after = test.fakes.fake, test.faults.fail, test.faults.crash, test.faults.on, test.faults.after
words.approve, words.reject, words.confirm, words.waive, words.answer, words.order = test.people.approve, test.people.reject, test.people.confirm,
  test.people.waive, test.people.answer, test.people.order

-- Who may answer for which role, instead of the roster of runbook.toml.
function words.roster(roles)
  say.check(type(roles) == "table", "roster", "a table role = people", roles)
  test.roster = {}
  for role, people in pairs(roles) do test.roster[role] = type(people) == "table" and people or { people } end
end

-- Variables that parameters and secrets may come from; the real ones are not looked at.
function words.environment(variables)
  say.check(type(variables) == "table", "environment", "a table NAME = text", variables)
  for name, value in pairs(variables) do test.environment[name] = tostring(value) end
end

-- A table as the bindings return it, with its methods: typed("db.counts", { orders = 3 }).
function words.typed(name, fields)
  say.check(type(name) == "string", "typed: argument 1", "the name of a type, such as db.counts", name)
  say.check(type(fields) == "table", "typed: argument 2", "a table", fields)
  local copy = { ["$type"] = name }
  for key, value in pairs(fields) do copy[key] = value end
  local value = host.store(copy)
  if not debug.getmetatable(value) then say.wrong(("typed: there is no type '%s'"):format(name)) end
  return value
end

function words.sleep(duration) host.sleep(say.seconds("sleep", duration)) end

words.expect = setmetatable({
  equal = function(actual, expected, what)
    if not say.same(actual, expected) then say.fail(("%s: expected %s, got %s"):format(what or "value", say.shown(expected), say.shown(actual))) end
    return actual
  end,
  contains = function(text, part, what)
    if type(text) ~= "string" or not text:find(tostring(part), 1, true) then
      say.fail(("%s: expected a text with %s in it, got %s"):format(what or "value", say.shown(part), say.shown(text)))
    end
    return text
  end,
  raises = function(part, fn)
    local ok, problem = host.try(fn)
    if ok then say.fail(("expected an error with %s in it, and none was raised"):format(say.shown(part))) end
    if not tostring(problem.message):find(part, 1, true) then say.fail(("expected an error with %s in it, got %s"):format(say.shown(part), say.shown(problem.message))) end
    return problem
  end,
}, { __metatable = false, __call = function(_, value, what)
  if value ~= true then say.fail(("%s: expected true, got %s"):format(what or "value", say.shown(value))) end
  return value
end })

function words.print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  host.tell(table.concat(parts, "  "))
end

-- A parameter's value as the command line would give it.
local function text_of(name, value)
  if type(value) == "string" then return value end
  if type(value) == "boolean" or type(value) == "number" then return say.shown(value) end
  if type(value) == "table" and #value > 0 then
    local list = {}
    for i, one in ipairs(value) do list[i] = text_of(name, one) end
    return table.concat(list, ",")
  end
  say.wrong(("run: parameter '%s': text, a number, true, false or a list expected, got %s"):format(name, host.type_word(value)))
end

-- What a run that nobody lets go on says.
local function stuck()
  local who, word = test.people.waited_for()
  if who then say.fail(("the run waits, and %s in this test"):format(who), ("write %s before the run, or give the question `within`"):format(word)) end
  say.fail("the run waits, and nothing can happen any more")
end

local current -- what was started last: {id, file}
local count = 0

local function perform(request)
  if test.running then say.wrong(("%s: a run is going on already"):format(request.verb)) end
  test.running, test.problem = true, nil
  test.by = request.by or "tester"
  request.roster = test.roster
  local answer = host.rehearse(request)
  test.running = false
  local problem = test.problem
  test.problem = nil
  if problem then error(problem, 0) end
  if answer.error and answer.error.kind == "test.stuck" then stuck() end
  local unmet = test.faults.unmet(test.outcome.names())
  if #unmet > 0 and answer.exit ~= 2 then say.wrong(table.concat(unmet, "\n")) end
  if answer.error and answer.error.kind ~= "usage" and answer.error.kind ~= "load" and answer.error.kind ~= "test.crash" then
    say.fail(answer.error.message, answer.error.hint)
  end
  return test.outcome.of(answer)
end

local folder = host.file:match "^(.*/)[^/]*$" or ""
local run_options = { env = "string", start = "string", by = "string", detach = "boolean" }

-- run(), run { parameter = value }, run("other.lua", { … }, { env = "staging" }): the playbook beside the test file.
function words.run(...)
  local given, file = { ... }, nil
  if type(given[1]) == "string" then file = table.remove(given, 1) end
  local parameters, options = given[1] or {}, say.options("run", given[2], run_options)
  say.check(type(parameters) == "table", "run", "a table of parameters", parameters)
  local path = file and folder .. file or host.file:gsub("_test%.lua$", ".lua")
  if path == host.file then say.wrong('run: which playbook? run("NAME.lua", { … }), or call the test file NAME_test.lua') end
  count = count + 1
  local pairs_given = {}
  for _, name in ipairs(host.sorted_keys(parameters)) do pairs_given[#pairs_given + 1] = { (name:gsub("_", "-")), text_of(name, parameters[name]) } end
  test.people.begin()
  current = { run = ("test-%d"):format(count), file = path }
  return perform { verb = "run", run = current.run, file = path, params = pairs_given, env = options.env, start = options.start, by = options.by,
    detach = options.detach }
end

local function continued(verb, options, known, what)
  options = say.options(verb, options, known)
  if not current then say.wrong(verb .. ": no run was started") end
  return perform { verb = verb, run = current.run, file = current.file, params = {}, what = what, by = options.by, detach = options.detach,
    extend = options.extend and say.seconds(verb .. ": option 'extend'", options.extend) }
end

function words.resume(options) return continued("resume", options, { by = "string", detach = "boolean", extend = "any" }) end
function words.retry(step, options)
  say.check(type(step) == "string", "retry: argument 1", "the name of a step", step)
  return continued("retry", options, { by = "string" }, step)
end
function words.rollback(options)
  options = say.options("rollback", options, { by = "string", way = "string" })
  return continued("rollback", { by = options.by }, { by = "string" }, options.way)
end

-- One occurrence of a follow-up of the run that was started last: a run of its own.
function words.followup(name, options)
  say.check(type(name) == "string", "followup: argument 1", "its name", name)
  options = say.options("followup", options, { by = "string", number = "number", detach = "boolean" })
  if not current then say.wrong("followup: no run was started") end
  count = count + 1
  local parent = current
  test.people.begin()
  return perform { verb = "follow up", parent = parent.run, run = ("test-%d"):format(count), what = name, number = options.number or 1, file = parent.file, params = {},
    by = options.by, detach = options.detach, due = host.now() * 1e6 }
end

return M

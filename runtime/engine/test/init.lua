-- Puts the files of `runbook test` together: the words of a test file, and what they do to the runs that it starts. One Lua
-- state a test; nothing here runs in a playbook's own run.
local host = ...
host.chunk("runtime/engine/load/prelude.lua")(host)
local test = { host = host, tests = {}, words = {} }
for _, name in ipairs { "say", "fakes", "faults", "people", "markers", "outcome", "words" } do
  test[name] = host.chunk("runtime/engine/test/" .. name .. ".lua")(test)
end
local sandbox = host.sandbox
setmetatable(test.vocabulary, {
  __metatable = false, __index = sandbox,
  __newindex = function(_, name) error("assignment to the undeclared name '" .. tostring(name) .. "': write `local " .. tostring(name) .. "`", 2) end,
})

-- Runs the chunk of the test file, where it only declares.
local function declare(chunk)
  test.fakes.wrap(sandbox)
  local ok, problem = host.try(chunk)
  if ok and #test.tests == 0 then
    ok, problem = false, { kind = "load", message = host.file .. ": no tests", hint = 'test("what it proves", function() … end)' }
  end
  return ok, problem
end

local function run_test(index)
  host.allow("none", "has an effect, and a test has none of its own", "let the playbook do it, and fake it")
  return host.try(test.tests[index].fn)
end

-- For each run: hooks into its own host library, before its playbook is loaded.
local function prepare(run_host)
  test.run_host = run_host
  for _, part in ipairs { "fakes", "faults", "people", "markers", "outcome" } do
    if test[part].prepare then test[part].prepare(run_host) end
  end
  function run_host.seed() return 1 end -- the jitter of retries is the same each time
  function run_host.environment(name) return test.environment[name] end
  local open_secret = run_host.open_secret
  function run_host.open_secret(reference, beside)
    local name = reference:match "^env:(.*)$"
    if not name then return open_secret(reference, beside) end
    local text = test.environment[name]
    if not text then return nil, ("environment variable %s is not set"):format(name), ("environment { %s = \"…\" } in the test"):format(name) end
    return run_host.make_secret(text, reference)
  end
  function run_host.rehearsal(engine)
    test.engine = engine
    for _, part in ipairs { "fakes", "faults", "people", "outcome" } do
      if test[part].linked then test[part].linked(engine) end
    end
  end
end

return { words = test.vocabulary, tests = test.tests, declare = declare, run_test = run_test, prepare = prepare }

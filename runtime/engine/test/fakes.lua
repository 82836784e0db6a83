-- What stands in for the bindings: each call of one that would look at the world or change it goes to the test's fake, after
-- the real one has checked its arguments, `needs`, and whether the step may do that. Without a fake it is refused by name.
local test = ...
local host, say = test.host, test.say
local M = { calls = {} }

local functions, areas = {}, {}
for _, entry in ipairs(host.functions()) do
  entry.full = entry.area .. "." .. entry.name
  functions[entry.full] = entry
  areas[entry.area] = true
end
M.functions = functions

local given = {}
-- Those of the harness itself: a transaction is what is done in it, a message is kept.
local function inside(connection, fn) return fn(connection) end
local own = {
  ["db.transaction"] = inside, ["db.savepoint"] = inside,
  ["notify.send"] = function(text, options)
    local list = {}
    local to = options and options.to or { "console" }
    for i, channel in ipairs(type(to) == "table" and to or { to }) do
      list[i] = { channel = channel, delivered = true, text = text, attempts = 1 }
      test.run_host.emit("notify.sent", { channel = channel, text = text })
    end
    return list
  end,
}
local unchecked = {} -- they would ask a connection that is there
for _, name in ipairs { "db.begin", "db.commit", "db.rollback", "db.abandon", "db.close" } do
  own[name], unchecked[name] = function() end, true
end

-- Whether there is a module of that name that declares its functions (stdlib/declare.lua); they can be faked as a whole then.
function M.know_library(name)
  if areas[name] ~= nil or not name:match "^[%a_][%w_]*$" then return areas[name] end
  local ok, module = host.try(rawget(host.sandbox, "require"), name)
  local meta = ok and type(module) == "table" and getmetatable(module)
  areas[name] = meta and meta.declared and true or false
  for _, one in ipairs(areas[name] and meta.declared.functions or {}) do
    functions[name .. "." .. one.name] = { area = name, name = one.name, effect = one.effect, full = name .. "." .. one.name, library = true }
  end
  return areas[name]
end

function M.fake(name, answer)
  if type(name) == "table" then
    for _, key in ipairs(host.sorted_keys(name)) do M.fake(key, name[key]) end
    return
  end
  say.check(type(name) == "string", "fake: argument 1", "the name of a function, or a table of them", name)
  if areas[name] or M.know_library(name) then
    say.check(type(answer) == "table", ("fake: argument 2: the fakes of '%s'"):format(name), "a table", answer)
    for _, key in ipairs(host.sorted_keys(answer)) do M.fake(("%s.%s"):format(name, tostring(key)), answer[key]) end
    return
  end
  if not functions[name] and not (M.know_library(name:match "^[^.]+" or "") and functions[name]) then
    say.wrong(("fake: nothing is named '%s'%s"):format(name, host.did_you_mean(name, functions)), "`runbook doc` lists the functions")
  end
  given[name] = type(answer) == "function" and answer or function() return answer end
end

local where_of = setmetatable({}, { __mode = "k" }) -- coroutine: the item it works for
local function current_item()
  local scope = test.engine and test.engine.substep.scope()
  local at = test.engine and test.engine.live.at()
  return where_of[coroutine.running()] or scope and scope.item.name or at and at.name or nil
end

local function record(name, ...)
  local parts, args = {}, { ... }
  for i = 1, select("#", ...) do parts[i] = say.shown((select(i, ...))) end
  M.calls[#M.calls + 1] = { name = name, args = args, step = current_item(), text = ("%s(%s)"):format(name, table.concat(parts, ", ")) }
end

local function after_call(name, ...)
  test.faults.called(name, current_item())
  return ...
end

-- Whether the real function would take the call: its problem where not, nil where only its effect is left to do.
local function refusal(entry, original, fake, ...)
  if unchecked[entry.full] then return nil end
  local ok, problem = host.try(original, ...)
  if ok then return nil end
  if problem.kind == "test.unfaked" then return nil, problem end
  -- what another fake returned is a plain table where the real function has an object of its own
  if fake and problem.kind == "argument" and problem.message:find("expected, got table", 1, true) then return nil end
  return problem
end

-- Written in Lua on top of other functions: runs as it is, they are faked.
local function is_composed(fn)
  local info = debug.getinfo(fn, "S")
  return info.what ~= "C" and info.source ~= "=[runbook]"
end

local function wrapper(entry, original)
  local composed = is_composed(original)
  return function(...)
    local fake = given[entry.full] or own[entry.full]
    if not fake and (entry.effect == "none" or entry.answers or composed) then return original(...) end
    local unfaked
    if entry.effect ~= "none" and not composed then
      local problem
      problem, unfaked = refusal(entry, original, fake, ...)
      if problem then error(problem, 0) end
    end
    record(entry.full, ...)
    if not fake then
      local item = not unfaked.where and current_item()
      if item then unfaked.message = ('step "%s": %s'):format(item, unfaked.message) end -- inside a library: no line of the playbook called it
      say.note(unfaked)
      error(unfaked, 0)
    end
    return after_call(entry.full, fake(...))
  end
end

-- Composed functions hold the real ones in variables of their own: those are exchanged too. `seen` has the stand-ins from the
-- start: two functions may share a variable, and what stands in keeps the real one.
local function rewire(fn, exchanged, seen)
  if seen[fn] then return end
  seen[fn] = true
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then return end
    if exchanged[value] then debug.setupvalue(fn, i, exchanged[value])
    elseif type(value) == "function" and debug.getinfo(value, "S").what ~= "C" then rewire(value, exchanged, seen) end
  end
end

function M.wrap(sandbox)
  local exchanged, composed, seen = {}, {}, {}
  for _, entry in pairs(functions) do
    local area = rawget(sandbox, entry.area)
    local original = area and rawget(area, entry.name)
    if type(original) == "function" then
      local stand_in = wrapper(entry, original)
      exchanged[original], seen[stand_in] = stand_in, true
      area[entry.name] = stand_in
      if is_composed(original) then composed[#composed + 1] = original end
    end
  end
  for _, fn in ipairs(composed) do rewire(fn, exchanged, seen) end
end

-- A module as a run gets it: what the test fakes of it is answered there, after its arguments were checked.
local function with_fakes(module)
  local meta = type(module) == "table" and getmetatable(module)
  if not meta or not meta.declared or meta.faked then return module end
  meta.faked = true
  for name, check in pairs(meta.checks) do
    local original, full = module[name], meta.declared.name .. "." .. name
    local function stand_in(...)
      local fake = given[full]
      if not fake then return original(...) end
      check(...)
      record(full, ...)
      return after_call(full, fake(...))
    end
    module[name] = stand_in
    for _, methods in ipairs(meta.methods) do
      if methods[name] == original then methods[name] = stand_in end
    end
  end
  return module
end

function M.prepare(run_host)
  M.calls = {}
  local load = rawget(host.sandbox, "require") -- this run's own
  rawset(host.sandbox, "require", function(name) return with_fakes(load(name)) end)
  local outbox = run_host.outbox -- what the engine posts (says, updates, notices) is taken too, and goes nowhere
  run_host.outbox = outbox and setmetatable({ deliver = function(message)
    local list = {}
    for i, channel in ipairs(message.to) do list[i] = { channel = channel, delivered = true, text = message.text, receipt = "test", thread = "", attempts = 1 } end
    return list
  end }, { __index = outbox })
  local enter = run_host.enter_step
  function run_host.enter_step(name, ...)
    where_of[coroutine.running()] = name ~= "" and name or nil
    return enter(name, ...)
  end
end

return M

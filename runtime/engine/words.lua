-- The words of the playbook language: what `step "x" { … }` and its like do while the file loads.
-- Owns the track (the declared items in order). Runs at load time only; nothing here has an effect.
local host, options, params = ...

local track, names = {}, {}
local header
local words = {}

local Verdict, Action, Way, Handle = {}, {}, {}, {}
Verdict.__index, Action.__index, Way.__index = Verdict, Action, Way

local function is(value, class) return type(value) == "table" and rawget(value, "__class") == class end
local function fail(level, text, hint) host.raise("load", text, hint, level + 1) end
local function label(kind, name) return ('%s "%s"'):format(kind, tostring(name)) end

local matches = {
  ["function"] = function(v) return type(v) == "function" end, string = function(v) return type(v) == "string" end,
  boolean = function(v) return type(v) == "boolean" end, number = function(v) return type(v) == "number" end,
  duration = function(v) return type(v) == "string" and host.parse_duration(v) ~= nil or type(v) == "number" and v >= 0 end,
  table = function(v) return type(v) == "table" end, list = function(v) return type(v) == "table" end,
  strings = function(v) return type(v) == "string" or type(v) == "table" end, any = function() return true end,
}
local article = { duration = "a duration such as 30s or 10m", strings = "a string or a list of strings", ["function"] = "a function" }

-- Checks the named keys of `given` against the option table; items 1..n are left to the caller.
local function check_options(who, given, known, level)
  for _, key in ipairs(host.sorted_keys(given)) do
    if type(key) == "string" then
      local option = known[key]
      if not option then
        fail(level + 1, ("%s: unknown option '%s'%s"):format(who, key, host.did_you_mean(key, known)))
      end
      local value = given[key]
      if not matches[option.type](value) then
        local shown = type(value) == "string" and ("'%s'"):format(value) or host.type_word(value)
        fail(level + 1, ("%s: option '%s': %s expected, got %s"):format(who, key, article[option.type] or option.type, shown))
      end
    end
  end
end

-- Rule 1: what a step learns is its result; an outer variable assigned in `run` would be lost on resume.
local function check_upvalues(who, key, fn, level)
  local name, line = host.assigned_upvalue(fn)
  if name then
    fail(level + 1, ("%s: '%s' assigns the outer variable '%s' (line %d)"):format(who, key, name, line),
      "return the value: it becomes the step's result, and survives a restart")
  end
end

local function check_functions(who, t, level)
  for _, key in ipairs(host.sorted_keys(t)) do
    local value = t[key]
    if type(value) == "function" then check_upvalues(who, tostring(key), value, level + 1) end
    if key == "undo" and type(value) == "table" and not is(value, Way) then
      for _, way in ipairs(host.sorted_keys(value)) do check_upvalues(who, "undo." .. way, value[way], level + 1) end
    end
  end
end

-- A handle: later steps read `.result`; while the file loads it has none.
local function new_handle(item)
  return setmetatable({}, {
    __metatable = false,
    __index = function(_, key)
      if host.loading() then
        host.raise("load", ("%s: .%s has no value while the file loads"):format(label(item.kind, item.name), tostring(key)),
          "use it inside a function that runs later", 2)
      end
      if key == "result" then
        if item.status ~= "finished" then
          host.raise("lua", ("%s has no result: it %s"):format(label(item.kind, item.name), item.status == "skipped" and "was skipped" or "has not finished"), nil, 2)
        end
        return item.result
      end
      if key == "status" or key == "elapsed" or key == "name" then return item[key] end
      host.raise("lua", ("%s has no field '%s'%s"):format(label(item.kind, item.name), tostring(key), host.did_you_mean(tostring(key), { result = 1, status = 1, elapsed = 1, name = 1 })), nil, 2)
    end,
    __newindex = function() host.raise("lua", label(item.kind, item.name) .. " cannot be changed", nil, 2) end,
  })
end

local function declare(kind, name, t, level)
  if not header then fail(level + 1, ("%s: the file must begin with `playbook \"name\" { … }`"):format(label(kind, name))) end
  if names[name] then fail(level + 1, ("%s: declared twice, first at line %d"):format(label(kind, name), names[name].line)) end
  local file, line = host.where()
  local item = { kind = kind, name = name, t = t, file = file, line = line, index = #track + 1, status = "waiting" }
  names[name] = item
  track[#track + 1] = item
  return item
end

-- `word "name" { … }`
local function two_part(kind, build)
  return function(name)
    if type(name) ~= "string" or name == "" then fail(2, ("%s: a name in quotes expected, got %s"):format(kind, host.type_word(name))) end
    return function(t)
      if type(t) ~= "table" then fail(2, ("%s: a table { … } expected, got %s"):format(label(kind, name), host.type_word(t))) end
      return build(kind, name, t)
    end
  end
end

local function flatten_actions(who, t)
  local actions = {}
  for i = 1, #t do
    local action = t[i]
    if not is(action, Action) then
      fail(4, ("%s: item %d: an action (such as toggle.on) expected, got %s"):format(who, i, host.type_word(action)))
    end
    actions[i] = action
  end
  return actions
end

words.playbook = two_part("playbook", function(_, name, t)
  if header then fail(3, ("playbook \"%s\": the file has a playbook already (\"%s\")"):format(name, header.name)) end
  local who = label("playbook", name)
  check_options(who, t, options.playbook, 3)
  for _, part in ipairs { "window", "rollback", "ask", "needs" } do
    if t[part] then check_options(("%s: %s"):format(who, part), t[part], options[part], 3) end
  end
  for _, question in ipairs { t.ask or {} } do
    if question.otherwise and question.otherwise ~= "rollback" and question.otherwise ~= "hold" then
      fail(3, ("%s: ask: option 'otherwise': rollback or hold expected, got '%s'"):format(who, question.otherwise))
    end
  end
  local file, line = host.where()
  header = { name = name, t = t, file = file, line = line }
  header.values, header.parameters = params.declare(who, t.params or {}, options.parameter, check_options, fail)
  return header.values
end)

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

function words.phase(name) declare("phase", name, {}, 2) end

function words.probe(text, fn)
  if type(fn) ~= "function" then fail(2, ("probe: argument 2 'fn': function expected, got %s"):format(host.type_word(fn))) end
  return { __class = "probe", text = text, fn = fn }
end
function words.confirm(role, text) return { __class = "confirm", role = role, text = text } end

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

-- Post-conditions: expect(value, "what") raises where the value is not true.
words.expect = setmetatable({
  none = function(list, what)
    if type(list) ~= "table" or #list > 0 then
      host.raise("expect", ("expected none: %s, found %s"):format(what or "items", type(list) == "table" and tostring(#list) or host.type_word(list)), nil, 2)
    end
    return list
  end,
  equal = function(actual, expected, what)
    if actual ~= expected then
      host.raise("expect", ("%s: expected %s, got %s"):format(what or "value", tostring(expected), tostring(actual)), nil, 2)
    end
    return actual
  end,
}, { __call = function(_, value, what)
  if value ~= true then host.raise("expect", ("expected: %s, got %s"):format(what or "true", tostring(value)), nil, 2) end
  return value
end, __metatable = false })

function words.print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  host.emit("log", { level = "info", text = table.concat(parts, "  ") })
end

local program = {
  words = words, track = track, names = names, header = function() return header end,
  classes = { Verdict = Verdict, Action = Action, Way = Way }, is = is, label = label,
}
setmetatable(program, { __index = function(_, key)
  if key == "parameters" then return header and header.parameters or {} end
end })
return program

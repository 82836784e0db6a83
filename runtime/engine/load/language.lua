-- The ground that the words of the playbook language stand on: the track (the declared items in order), checks of options,
-- handles. Each file of words/ gets this table and adds its words. Runs at load time only; nothing here has an effect.
local host, options, params = ...
local M = {}

local track, names = {}, {}
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
local handles = setmetatable({}, { __mode = "k" }) -- handle to item
local function new_handle(item)
  local handle = setmetatable({}, {
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
        if M.on_result then M.on_result(item) end -- a dry run wants to know who asks for what
        return item.result
      end
      if key == "status" or key == "elapsed" or key == "name" then return item[key] end
      host.raise("lua", ("%s has no field '%s'%s"):format(label(item.kind, item.name), tostring(key), host.did_you_mean(tostring(key), { result = 1, status = 1, elapsed = 1, name = 1 })), nil, 2)
    end,
    __newindex = function() host.raise("lua", label(item.kind, item.name) .. " cannot be changed", nil, 2) end,
  })
  handles[handle] = item
  return handle
end

local function declare(kind, name, t, level)
  if not M.header then fail(level + 1, ("%s: the file must begin with `playbook \"name\" { … }`"):format(label(kind, name))) end
  if names[name] then fail(level + 1, ("%s: declared twice, first at line %d"):format(label(kind, name), names[name].line)) end
  local file, line = host.where()
  local item = { kind = kind, name = name, t = t, file = file, line = line, index = #track + 1, status = "waiting" }
  names[name] = item
  track[#track + 1] = item
  return item
end

-- Words whose name was said and whose table was not (yet): a step that nobody declared must not be missing in silence.
local begun = {}
function M.check_begun()
  local first
  for _, word in pairs(begun) do
    if not first or word.order < first.order then first = word end
  end
  if first then
    host.raise("load", ("%s:%d: %s: declares nothing: the table behind its name is missing"):format(first.file, first.line, label(first.kind, first.name)),
      ("write %s { … }"):format(label(first.kind, first.name)))
  end
end

-- `word "name" { … }`
local said = 0
local function two_part(kind, build)
  return function(name, ...)
    if type(name) ~= "string" or name == "" then fail(2, ("%s: a name in quotes expected, got %s"):format(kind, host.type_word(name))) end
    if select("#", ...) > 0 then
      fail(2, ("%s: a name only, got %d arguments"):format(label(kind, name), 1 + select("#", ...)), ("write %s { … }: the table stands behind"):format(label(kind, name)))
    end
    local file, line = host.where()
    said = said + 1
    local number = said
    begun[number] = { kind = kind, name = name, file = file, line = line, order = number }
    return function(t)
      if type(t) ~= "table" then fail(2, ("%s: a table { … } expected, got %s"):format(label(kind, name), host.type_word(t))) end
      begun[number] = nil
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

-- A name as a part of a run's name: small letters, digits and dashes.
function M.slug(name)
  local slug = name:lower():gsub("[^%w]+", "-"):gsub("^%-+", ""):gsub("%-+$", "")
  return slug
end

M.host, M.options, M.params, M.words, M.track, M.names = host, options, params, words, track, names
M.Verdict, M.Action, M.Way = Verdict, Action, Way
M.late_checks = {} -- functions (add, names, track): what only the whole file shows, by the file of the words it belongs to
M.handles = handles
M.is, M.fail, M.label, M.declare, M.two_part, M.new_handle = is, fail, label, declare, two_part, new_handle
M.check_options, M.check_functions, M.flatten_actions = check_options, check_functions, flatten_actions
return M

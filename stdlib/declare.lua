-- The declaration of what a module of the standard library exports: it checks the arguments, and is what `runbook doc`, `help`, the reference and
-- the stubs show. One table a function:
--   local declare = require "declare"
--   local M, def = declare.module("git", "A working copy on this host, through git.", 'needs = { shell = { "git" } }')
--   def "fetch" { doc = "Fetches from a remote, tags too.", { "dir", "text", "the working copy" }, { "remote", "word?", "its name (origin)" },
--     { "options", { timeout = { "duration", "how long it may take", default = "5m" } } },
--     returns = { "string", "…" }, raises = { "shell.exit" }, writes = true, example = [[git.fetch "/srv/app"]], run = function(dir, remote, o) … end }
-- A kind with ? may be left out. The last one may be "...". A table of options is always there for `run`, with its defaults; durations are seconds.
local arguments = require "arguments"
local M = {}

local function word(value) return value == nil and "nil" or type(value) end

-- What a dry run gives in the place of a result that it does not know.
local function unknown(value) return type(value) == "userdata" and tostring(value):sub(1, 3) == "‹" end

local checks = {}
local function plain(kind, text)
  checks[kind] = function(value)
    if type(value) ~= kind then return (text or kind) .. " expected, got " .. word(value) end
  end
end
for _, kind in ipairs { "string", "number", "boolean", "table", "function" } do plain(kind) end

function checks.text(value)
  if type(value) ~= "string" then return "string expected, got " .. word(value) end
  if value == "" then return "must not be empty" end
end

-- May stand as a word of a command: what begins with a hyphen would be an option there.
function checks.word(value)
  local problem = checks.text(value)
  if problem then return problem end
  if value:find "^%-" or value:find "[%c]" then return ("'%s' is no name"):format(value) end
end

function checks.integer(value)
  if type(value) ~= "number" or value % 1 ~= 0 then return "a whole number expected, got " .. (type(value) == "number" and tostring(value) or word(value)) end
end

function checks.count(value)
  if checks.integer(value) or value < 0 then return "a whole number from 0 expected, got " .. (type(value) == "number" and tostring(value) or word(value)) end
end

function checks.duration(value)
  if not pcall(time.duration, value) then
    return "duration such as 30s or 10m expected, got " .. (type(value) == "string" and "'" .. value .. "'" or word(value))
  end
end

function checks.names(value)
  if type(value) ~= "table" then return "list of names expected, got " .. word(value) end
  for i, name in ipairs(value) do
    local problem = checks.word(name)
    if problem then return ("%d: %s"):format(i, problem) end
  end
end

function checks.list(value)
  if type(value) ~= "table" then return "list expected, got " .. word(value) end
end

function checks.secret(value)
  if type(value) ~= "string" and type(value) ~= "userdata" then return "text or secret expected, got " .. word(value) end
end

function checks.connection(value)
  if type(value) ~= "userdata" then return "connection expected, got " .. word(value) end
end

function checks.timestamp(value)
  if not pcall(time.iso, value) then return "timestamp expected, got " .. word(value) end
end

function checks.any(value)
  if value == nil then return "value expected, got nil" end
end

local shown = { text = "string", word = "string", count = "integer", names = "string[]", secret = "string|secret", any = "value" }

-- Splits "word?" into the kind and whether it may be left out.
local function kind_of(declared)
  local kind, mark = declared:match "^(%a+)(%??)$"
  if not kind or not checks[kind] then error { kind = "internal", message = ("declare: unknown kind '%s'"):format(declared) } end
  return kind, mark == "?"
end

local function fields_of(options)
  local fields, names = {}, {}
  for name in pairs(options) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local one = options[name]
    local kind = kind_of(one[1])
    local default = one.default
    fields[i] = { name = name, type = shown[kind] or kind, doc = one[2] .. (default ~= nil and (" (%s)"):format(tostring(default)) or ""), optional = not one.required }
  end
  return fields
end

local function check_options(who, number, given, known)
  if given == nil then given = {} end
  if type(given) ~= "table" then arguments.fail(who, number, "options", "table of options expected, got " .. word(given)) end
  local result = {}
  for name, value in pairs(given) do
    local wanted = known[name]
    if not wanted then arguments.unknown_option(who, number, name, known) end
    local problem = not unknown(value) and checks[(kind_of(wanted[1]))](value)
    if problem then arguments.fail(who, number, "options", ("option '%s': %s"):format(name, problem)) end
    result[name] = value
  end
  for name, wanted in pairs(known) do
    if result[name] == nil and wanted.required then arguments.fail(who, number, "options", ("option '%s' is required"):format(name)) end
    if result[name] == nil then result[name] = wanted.default end
    if result[name] ~= nil and wanted[1] == "duration" then result[name] = time.duration(result[name]) end
  end
  return result
end

-- How one argument is checked: a function of the value, that gives what the function works with.
local function checker(who, number, parameter)
  local name, kind = parameter[1], parameter[2]
  if type(kind) == "table" and kind.methods then
    return function(value)
      if type(value) ~= "table" or getmetatable(value) ~= kind then arguments.fail(who, number, name, ("%s expected, got %s"):format(kind.doc_name, word(value))) end
      return value
    end
  elseif type(kind) == "table" then
    return function(value) return check_options(who, number, value, kind) end
  end
  local plain_kind, optional = kind_of(kind)
  return function(value)
    if value == nil and optional or unknown(value) then return value end
    local problem = checks[plain_kind](value)
    if problem then arguments.fail(who, number, name, problem) end
    return plain_kind == "duration" and time.duration(value) or value
  end
end

local function checked(who, parameters, run)
  local most, all = #parameters, {}
  local rest = most > 0 and parameters[most][1] == "..."
  if rest then most = most - 1 end
  for i = 1, most do all[i] = checker(who, i, parameters[i]) end
  local each = rest and checker(who, most + 1, { "...", parameters[most + 1][2] })
  -- The arguments as `run` gets them, and how many.
  local function check(...)
    local count = select("#", ...)
    if count > most and not rest then
      error({ kind = "argument", message = ("%s: takes at most %d argument%s, got %d"):format(who, most, most == 1 and "" or "s", count) }, 0)
    end
    local given = { ... }
    for i = 1, most do given[i] = all[i](given[i]) end
    for i = most + 1, count do given[i] = each(given[i]) end
    return given, math.max(most, count)
  end
  return function(...)
    local given, count = check(...)
    return run(unpack(given, 1, count))
  end, check
end

-- Plain data of one function, for the host.
local function described(name, t, parameters)
  local list = {}
  for i, parameter in ipairs(parameters) do
    local kind = parameter[2]
    local one = { name = parameter[1], doc = parameter[3] or "", optional = false }
    if type(kind) == "table" and kind.methods then one.type = kind.full_name
    elseif type(kind) == "table" then
      one.type, one.optional, one.fields, one.doc = "table", true, fields_of(kind), parameter[3] or "what else"
      for _, wanted in pairs(kind) do one.optional = one.optional and not wanted.required end
    else
      local plain_kind, optional = kind_of(kind)
      one.type, one.optional = shown[plain_kind] or plain_kind, optional
    end
    list[i] = one
  end
  local returns = t.returns or {}
  return { name = name, doc = t.doc, parameters = list, returns = returns[1] or "", returns_doc = returns[2] or "", raises = t.raises or {},
    effect = t.writes and "writes" or t.reads and "reads" or "none", example = t.example or "" }
end

-- A module: its table, and `def`. `needs` is what a playbook has to declare for it: code, then perhaps "; " and words. def.type("database", doc) gives the metatable of an object; functions
-- with `of = it` take such an object first, and are its methods too.
function M.module(name, doc, needs)
  local area = { name = name, doc = doc, needs = (needs or ""):gsub("^[^;]+", "`%0`"), functions = {}, types = {} }
  local meta = { declared = area, checks = {}, methods = {} } -- the checks and the methods are for tests that fake a function
  local module, def = setmetatable({}, meta), {}
  function def.type(type_name, type_doc, fields)
    local described_type = { name = name .. "." .. type_name, doc = type_doc, fields = fields or {}, methods = {} }
    area.types[#area.types + 1] = described_type
    local methods = {}
    meta.methods[#meta.methods + 1] = methods
    return { __index = methods, methods = methods, described = described_type, full_name = described_type.name, doc_name = "a " .. described_type.name }
  end
  return module, setmetatable(def, { __call = function(_, function_name)
    return function(t)
      local who, parameters = name .. "." .. function_name, {}
      if t.of then parameters[1] = { t.of.described.name:match "%.(%a+)$", t.of, "what it is about" } end
      for _, parameter in ipairs(t) do parameters[#parameters + 1] = parameter end
      local fn, check = checked(who, parameters, t.run)
      meta.checks[function_name] = check
      module[function_name] = fn
      area.functions[#area.functions + 1] = described(function_name, t, parameters)
      if t.of then
        t.of.methods[function_name] = fn
        t.of.described.methods[#t.of.described.methods + 1] = { name = function_name, doc = t.doc }
      end
      return fn
    end
  end })
end

return M

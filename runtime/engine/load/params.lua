-- Parameters of a playbook: from the command line, RUNBOOK_<NAME>, the environment of runbook.toml, the default.
-- Values are made while the file loads; a database is a handle that connects on first use.
local host = ...

local types = { string = 1, number = 1, integer = 1, boolean = 1, path = 1, url = 1, enum = 1, list = 1, secret = 1, database = 1, duration = 1, export = 1 }

local function dashed(name) return "--" .. name:gsub("_", "-") end

local convert = {}
function convert.string(text) return text end
function convert.url(text)
  if not text:match "^%a[%w+.-]*://" then return nil, "an address such as https://host/ expected" end
  return text
end
function convert.path(text) return text end
-- Where an export lies: chosen by whoever starts the run, never the newest by itself.
function convert.export(text)
  if text:match "^gs://[^/]+/[^/]" then return (text:gsub("/+$", "")) end
  return nil, "an export such as gs://bucket/folder expected"
end
function convert.number(text) return tonumber(text), "a number expected" end
function convert.integer(text)
  local n = tonumber(text)
  return n and n % 1 == 0 and n or nil, "an integer expected"
end
function convert.boolean(text)
  if text == "true" or text == "yes" or text == "1" then return true end
  if text == "false" or text == "no" or text == "0" then return false end
  return nil, "true or false expected"
end
function convert.duration(text) return host.parse_duration(text) and text or nil, "a duration such as 30s or 10m expected" end
function convert.enum(text, t)
  for _, choice in ipairs(t[2]) do
    if choice == text then return text end
  end
  return nil, "one of " .. table.concat(t[2], ", ") .. " expected"
end
function convert.list(text, t)
  local items = {}
  for item in (text .. ","):gmatch "([^,]*)," do
    local value, problem = convert[t.of or "string"](item, t)
    if value == nil then return nil, problem end
    items[#items + 1] = value
  end
  return items
end
function convert.secret(text) return text end
function convert.database(text) return text end

-- Stands for a database while only declarations are wanted (plan, check, --help).
local function placeholder(name)
  return setmetatable({}, { __index = function(_, key) return ("<%s.%s>"):format(name, tostring(key)) end,
    __tostring = function() return "<" .. name .. ">" end, __concat = function(a, b) return tostring(a) .. tostring(b) end, __metatable = false })
end

local function find_text(name, given)
  for _, pair in ipairs(given.command_line) do
    if pair[1]:gsub("-", "_") == name then return pair[2], dashed(name) end
  end
  local variable = "RUNBOOK_" .. name:upper()
  local text = host.environment(variable)
  if text then return text, variable end
  local value = given.config[name]
  if type(value) == "table" then value = table.concat(value, ",") end
  if value ~= nil then return tostring(value), "runbook.toml" end
end

-- A secret from a reference such as env:NAME or vault:PATH#FIELD, files `beside` the playbook or in the working folder;
-- nil and why not.
local function secret_from(reference, beside)
  local value, problem, hint = host.open_secret(reference, beside)
  if value then return value end
  return nil, hint and hint ~= "" and ("%s (%s)"):format(problem, hint) or problem
end

-- The secret of a parameter: nil and why not, and where it came from. What stands on the command line or in runbook.toml
-- is seen by others: there it can only be a reference.
local function secret_of(t, text, source)
  local from = source ~= nil and not source:find "^RUNBOOK_" and text or (not text and t.from) or nil
  if from and (from == t.from or host.is_reference(from)) then
    local value, problem = secret_from(from, source == "runbook.toml")
    return value, problem, from
  elseif from and source == "runbook.toml" then
    return nil, "runbook.toml says where a secret is, never what: env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD or aws:NAME#FIELD", source
  elseif from then
    return nil, ("a value on the command line can be read by every user of this machine: say where it is (%s env:NAME, file:PATH, command:PROGRAM, "
      .. "vault:PATH#FIELD, aws:NAME#FIELD), or set the variable RUNBOOK_%s"):format(source, source:sub(3):gsub("-", "_"):upper()), source
  elseif text then
    return host.make_secret(text, "env:" .. source), nil, "env:" .. source
  end
  return nil, nil, source
end

-- Password or user name of a database from where the header or runbook.toml says; nil, or nil and why not.
local function login(which, name, t, given)
  local there = given.config[name .. "_" .. which]
  local from = there or t[which]
  if not from or not given.complete or which == "password" and host.environment(("RUNBOOK_%s_PASSWORD"):format(name:upper())) then return nil end
  if type(from) ~= "string" or not host.is_reference(from) then
    return nil, ("%s of %s: env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD or aws:NAME#FIELD expected"):format(which, dashed(name))
  end
  local value, problem = secret_from(from, there ~= nil)
  return value, problem and ("%s of %s: %s"):format(which, dashed(name), problem)
end

-- A database parameter's text: a URL, or a name of [connections] in runbook.toml. Returns the URL and, where the name has one, its password.
local function find_database(text, access, given)
  local connections = given.connections
  if text:find(":", 1, true) then return text end
  local named = connections[text]
  if not named then
    return nil, ("no connection '%s' in runbook.toml%s"):format(text, host.did_you_mean(text, connections))
  end
  local rank = { read = 1, write = 2, admin = 3 }
  if named.access ~= "" and rank[access] > rank[named.access] then
    return nil, ("connection '%s' of runbook.toml is for access = \"%s\", and the playbook declares access = \"%s\""):format(text, named.access, access)
  end
  if named.password == "" or not given.complete then return named.url end
  local secret, problem = secret_from(named.password, true)
  if not secret then return nil, ("connection '%s' of runbook.toml: %s"):format(text, problem) end
  return named.url, secret
end

local M = {}

-- Returns the values table and the list of declarations {name, type, t, source, text}.
function M.declare(who, declared, known, check_options, fail)
  local given = host.given()
  local values, list, problems = {}, {}, {}
  local names = host.sorted_keys(declared)
  table.sort(names, function(a, b) return (declared[a].required and 0 or 1) .. a < (declared[b].required and 0 or 1) .. b end)
  for _, name in ipairs(names) do
    local t = declared[name]
    local label = ("%s: parameter '%s'"):format(who, name)
    if type(t) ~= "table" or not types[t[1]] then
      fail(4, ("%s: a type first: { \"string\", … }%s"):format(label, type(t) == "table" and type(t[1]) == "string" and host.did_you_mean(t[1], types) or ""))
    end
    if not name:match "^[a-z][a-z0-9_]*$" then fail(4, label .. ": names are small letters, digits and _") end
    check_options(label, t, known, 4)
    if t[1] == "database" and not ({ read = 1, write = 1, admin = 1 })[t.access or ""] then
      fail(4, label .. ": option 'access': read, write or admin is required")
    end
    local text, source = find_text(name, given)
    local entry = { name = name, type = t[1], t = t, source = source }
    list[#list + 1] = entry
    if t[1] == "secret" then
      if not given.complete then
        entry.source = t.from or source
        values[name] = "<" .. name .. ">"
      else
        local value, problem, from = secret_of(t, text, source)
        entry.source, values[name] = from, value
        local warning = value and host.cover_warning(value)
        if warning then host.emit("log", { level = "warn", text = ("secret %s (%s) %s"):format(dashed(name), from, warning) }) end
        if not value and (t.required or t.from or problem) then
          problems[#problems + 1] = ("secret %s: %s"):format(dashed(name), problem or "is required")
        end
      end
    elseif text ~= nil then
      local value, problem = convert[t[1]](text, t)
      if value == nil then problems[#problems + 1] = ("parameter %s: %s, got '%s'"):format(dashed(name), problem, text)
      elseif t[1] == "database" then
        local password, no_password = login("password", name, t, given)
        local user, no_user = login("user", name, t, given)
        problems[#problems + 1] = no_password
        problems[#problems + 1] = no_user
        local url, more = find_database(value, t.access, given)
        local ok, handle = false, { message = more }
        if url then ok, handle = host.try(host.make_database, url, t.access, name, password or more, user) end
        if ok then values[name], entry.handle = handle, handle else problems[#problems + 1] = ("parameter %s: %s"):format(dashed(name), handle.message) end
      else values[name] = value end
      entry.value = values[name]
    elseif t.default ~= nil then
      values[name], entry.value, entry.source = t.default, t.default, "default"
    elseif not given.complete then
      values[name] = t[1] == "database" and placeholder(name) or t[1] == "list" and {} or t[1] == "boolean" and false or ("<" .. name .. ">")
    elseif t.required then
      problems[#problems + 1] = ("parameter %s is required: %s (%s)"):format(dashed(name), t.doc or "no description", t[1])
    end
  end
  if given.complete then
    for _, pair in ipairs(given.command_line) do
      local name = pair[1]:gsub("-", "_")
      if not declared[name] then
        local choices = {}
        for _, known_name in ipairs(names) do choices[(known_name:gsub("_", "-"))] = 1 end
        problems[#problems + 1] = ("unknown parameter --%s%s"):format(pair[1], host.did_you_mean(pair[1], choices, "--"))
      end
    end
  end
  if #problems > 0 then host.raise_usage(table.concat(problems, "\n")) end
  local proxy = setmetatable({}, {
    __metatable = false,
    __index = function(_, key)
      if declared[key] then return values[key] end
      host.raise("load", ("no parameter '%s'%s"):format(tostring(key), host.did_you_mean(tostring(key), declared)), nil, 2)
    end,
    __newindex = function(_, key) host.raise("load", ("parameter '%s' cannot be changed"):format(tostring(key)), nil, 2) end,
  })
  return proxy, list
end

-- What is wrong with a text as a value of a declared parameter, or nil.
function M.wrong(t, text)
  local value, problem = convert[t[1]](text, t)
  return value == nil and problem or nil
end

M.dashed = dashed
return M

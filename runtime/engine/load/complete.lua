-- Puts the engine's Lua files together, and completes the program once the playbook has declared it: cross references,
-- permissions, the description that plan and check show. Returns the program.
local host, program = ...

-- Checks what only the whole file shows. Returns a list of {line, message, error}.
function program.findings()
  local found = {}
  local header = program.header()
  local function add(at, message, warning) found[#found + 1] = { order = #found, file = at.file, line = at.line, message = message, error = not warning } end
  if not header then return { { file = host.file, line = 1, message = 'no playbook: the file must begin with `playbook "name" { … }`', error = true } } end
  local t, names, track = header.t, program.names, program.track
  local function known(at, who, option, name)
    if name and not names[name] then add(at, ("%s: option '%s': no step '%s'%s"):format(who, option, name, host.did_you_mean(name, names))) end
  end
  for _, item in ipairs(track) do
    local who = program.label(item.kind, item.name)
    known(item, who, "beside", item.t.beside)
    if item.t.beside and names[item.t.beside] and names[item.t.beside].index <= item.index then
      add(item, ("%s: option 'beside': '%s' comes before it"):format(who, item.t.beside))
    end
    if t.roles and item.t.owner and not t.roles[item.t.owner] then
      add(item, ("%s: option 'owner': no role '%s'%s"):format(who, item.t.owner, host.did_you_mean(item.t.owner, t.roles)))
    end
  end
  program.asked.findings(add, host.given().complete and host.initiator() or nil)
  for _, check in ipairs(program.late_checks) do check(add, names, track) end
  if t.window then
    known(header, "window", "from", t.window.from)
    known(header, "window", "to", t.window.to)
  end
  program.check_window(add)
  program.check_channels(add)
  -- a toggle that does not end as it was found: what the first step that uses it changes
  local found_as, left = {}, {}
  for _, item in ipairs(track) do
    for _, action in ipairs(item.actions or {}) do
      local toggle = action.toggle
      if toggle then
        found_as[toggle] = found_as[toggle] or (action.to == "on" and "off" or "on")
        left[toggle] = action.to ~= found_as[toggle] and not item.t.stays and item or nil
      end
    end
  end
  for toggle, item in pairs(left) do
    add(item, ("step \"%s\": is left %s at the end of the playbook: switch it back, or say stays = \"why\""):format(
      item.name, found_as[toggle] == "off" and "on" or "off"), true)
  end
  program.contradictions(add)
  table.sort(found, function(a, b) return a.line < b.line or a.line == b.line and a.order < b.order end)
  program.checked = true
  return found
end

-- The file has been loaded.
function program.loaded()
  program.language.check_begun()
  program.language.read_templates()
end

-- `needs`, with names of parameters replaced by their values; the hosts of url parameters are always reachable.
function program.permissions()
  local header = program.header()
  if not header then host.raise_usage(("%s: declares no playbook: it must begin with `playbook \"name\" { … }`"):format(host.file)) end
  local needs = header.t.needs or {}
  local function list(value, kind)
    local result = {}
    for _, entry in ipairs(type(value) == "table" and value or { value }) do
      local parameter = (header.t.params or {})[entry]
      if kind and parameter and parameter[1] == kind then entry = header.values[entry] end
      result[#result + 1] = entry
    end
    return result
  end
  local http = list(needs.http, "url")
  for name, parameter in pairs(header.t.params or {}) do
    if parameter[1] == "url" and type(header.values[name]) == "string" then http[#http + 1] = header.values[name] end
  end
  local net = list(needs.net, "url")
  for name, parameter in pairs(header.t.params or {}) do
    local at = parameter[1] == "database" and header.values[name]
    if type(at) == "userdata" and at.host ~= "" then net[#net + 1] = ("%s:%s"):format(at.host, at.port) end
  end
  return { net = net, redis = list(needs.redis, "url"), shell = list(needs.shell), http = http, files = list(needs.files, "path"),
    ssh = list(needs.ssh, "string"), confine = needs.confine == true, declared_at = ("%s:%d"):format(header.file, header.line) }
end

-- Undefined names anywhere in the chunk, also in functions that have not run.
function program.undefined_names(chunk, env, file)
  local found = {}
  host.each_global(chunk, function(name, line, writes)
    if type(name) == "string" and rawget(env, name) == nil then
      found[#found + 1] = { file = file, line = line, error = true, message = writes
        and ("assignment to the undeclared name '%s': write `local %s`"):format(name, name)
        or ("undefined name '%s'%s"):format(name, host.did_you_mean(name, env)) }
    end
  end)
  return found
end

return program

-- Services on Render, through its API (https://api-docs.render.com).
--   local render = require "render"
--   step "stop" { capture = function() return { deploy = render.live_deploy(p.token, "web"), scale = render.scale(p.token, "web") } end,
--     run = function() render.suspend(p.token, "web", { within = "90s" }) end,
--     undo = function(ctx) render.deploy(p.token, "web", ctx.saved.deploy); render.resume(p.token, "web", ctx.saved.scale) end }
-- needs.http: "api.render.com". `token` is a secret parameter. A service is named as on the dashboard, or by its id (srv-…).
local arguments = require "arguments"
local M = { api = "https://api.render.com/v1" } -- `render.api = …` for a proxy in between

local known = { within = { "duration", "5m" }, every = { "duration", "2s" } }

local function request(token, method, path, more)
  local options = { retry = method ~= "POST" and { attempts = 4 } or nil } -- 429 and 5xx, for what may be repeated
  for name, value in pairs(more or {}) do options[name] = value end
  options.headers = { Authorization = template.render("Bearer {token}", { token = token }), Accept = "application/json" }
  return http.request(method, M.api .. path, options).json
end

local function encoded(text)
  return (text:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- The service, or render.unknown.
local function service(who, token, name)
  arguments.word(who, 2, "service", name)
  if name:find "^srv%-" then return request(token, "GET", "/services/" .. name) end
  local found = {}
  for _, entry in ipairs(request(token, "GET", "/services?limit=100&name=" .. encoded(name)) or {}) do
    if entry.service.name == name then found[#found + 1] = entry.service end
  end
  if #found == 1 then return found[1] end
  error { kind = "render.unknown", message = #found == 0 and ("Render has no service '%s' that this token may see"):format(name)
    or ("Render has %d services '%s'"):format(#found, name), hint = "give its id, srv-…" }
end

local function is_suspended(one) return one.suspended == "suspended" end

-- Asks again until `test(service)` says yes.
local function await(token, id, o, doing, test)
  local began = time.now()
  while true do
    local now = request(token, "GET", "/services/" .. id)
    if test(now) then return now end
    if time.since(began) + o.every > o.within then
      error { kind = "render.timeout", message = ("%s: %s, but it is not so after %s"):format(now.name or id, doing, time.text(o.within)) }
    end
    sleep(o.every)
  end
end

-- True, where Render answers for every one of the services; raises for the first that it does not.
function M.reachable(token, services)
  if type(services) ~= "table" then arguments.fail("render.reachable", 2, "services", "list of names expected, got " .. type(services)) end
  for _, name in ipairs(services) do service("render.reachable", token, name) end
  return true
end

-- "suspended" or "running".
function M.state(token, name)
  return is_suspended(service("render.state", token, name)) and "suspended" or "running"
end

-- The id of the deploy that is live, or nil.
function M.live_deploy(token, name)
  local id = service("render.live_deploy", token, name).id
  local found = request(token, "GET", ("/services/%s/deploys?limit=1&status=live"):format(id)) or {}
  return found[1] and found[1].deploy.id or nil
end

-- How many instances it has.
function M.scale(token, name)
  local details = service("render.scale", token, name).serviceDetails
  return type(details) == "table" and details.numInstances or 1
end

-- Sets the number of instances.
function M.set_scale(token, name, count)
  if type(count) ~= "number" or count < 1 or count % 1 ~= 0 then arguments.fail("render.set_scale", 3, "count", "a whole number from 1 expected, got " .. tostring(count)) end
  request(token, "POST", ("/services/%s/scale"):format(service("render.set_scale", token, name).id), { json = { numInstances = count } })
end

-- Suspends it and waits until Render says so; nothing happens where it is. Options: within ("5m"), every ("2s").
function M.suspend(token, name, options)
  local o = arguments.options("render.suspend", 3, options, known)
  local one = service("render.suspend", token, name)
  if not is_suspended(one) and arguments.unknown(request(token, "POST", ("/services/%s/suspend"):format(one.id))) then return end
  await(token, one.id, o, "is to be suspended", is_suspended)
end

-- Resumes it and waits until Render says so; with `scale`, that many instances. What it serves, `http.expect` says.
function M.resume(token, name, scale, options)
  if scale ~= nil and type(scale) ~= "number" then arguments.fail("render.resume", 3, "scale", "number of instances expected, got " .. type(scale)) end
  local o = arguments.options("render.resume", 4, options, known)
  local one = service("render.resume", token, name)
  if is_suspended(one) and arguments.unknown(request(token, "POST", ("/services/%s/resume"):format(one.id))) then return end
  await(token, one.id, o, "is to run again", function(now) return not is_suspended(now) end)
  local details = one.serviceDetails
  if scale and type(details) == "table" and details.numInstances ~= scale then M.set_scale(token, one.id, scale) end
end

local final = { live = true, build_failed = true, update_failed = true, pre_deploy_failed = true, canceled = true, deactivated = true }

-- Goes back to a deploy (its id), and waits until that is live, unless the service is suspended: then Render begins with it when it is resumed.
-- Nothing happens where it is live already. Returns the id of the new deploy.
function M.deploy(token, name, deploy, options)
  arguments.word("render.deploy", 3, "deploy", deploy)
  local o = arguments.options("render.deploy", 4, options, { within = { "duration", "15m" }, every = { "duration", "2s" } })
  local one = service("render.deploy", token, name)
  if M.live_deploy(token, one.id) == deploy then return deploy end
  local new = request(token, "POST", ("/services/%s/rollback"):format(one.id), { json = { deployId = deploy } })
  if arguments.unknown(new) then return new end
  local began = time.now()
  while not is_suspended(one) do
    local now = request(token, "GET", ("/services/%s/deploys/%s"):format(one.id, new.id))
    if now.status == "live" then break end
    if final[now.status] then error { kind = "render.deploy", message = ("%s: the deploy %s ended as %s"):format(name, new.id, now.status) } end
    if time.since(began) + o.every > o.within then
      error { kind = "render.timeout", message = ("%s: the deploy %s is %s after %s"):format(name, new.id, now.status, time.text(o.within)) }
    end
    sleep(o.every)
  end
  return new.id
end

-- A variable of the service's environment, or nil. It is a secret of Render's: do not put it into a result.
function M.env(token, name, key)
  arguments.word("render.env", 3, "key", key)
  local id = service("render.env", token, name).id
  local cursor = ""
  while true do
    local page = request(token, "GET", ("/services/%s/env-vars?limit=100%s"):format(id, cursor)) or {}
    for _, entry in ipairs(page) do
      if entry.envVar.key == key then return entry.envVar.value end
    end
    if #page < 100 then return nil end
    cursor = "&cursor=" .. encoded(page[#page].cursor)
  end
end

-- Sets a variable; text or a secret. The service sees it with its next deploy.
function M.set_env(token, name, key, value)
  arguments.word("render.set_env", 3, "key", key)
  if value == nil or type(value) == "table" then arguments.fail("render.set_env", 4, "value", "text or secret expected, got " .. type(value)) end
  request(token, "PUT", ("/services/%s/env-vars/%s"):format(service("render.set_env", token, name).id, encoded(key)), { json = { value = value } })
end

return M

-- Services on Render, through its API (https://api-docs.render.com).
--   local render = require "render"
--   step "stop" { capture = function() return { deploy = render.live_deploy(p.token, "web"), scale = render.scale(p.token, "web") } end,
--     run = function() render.suspend(p.token, "web", { within = "90s" }) end,
--     undo = function(ctx) render.deploy(p.token, "web", ctx.saved.deploy); render.resume(p.token, "web", ctx.saved.scale) end }
-- A service is named as on the dashboard, or by its id (srv-…).
local arguments, declare = require "arguments", require "declare"
local M, def = declare.module("render", "Services on Render, through its API. `render.api = …` names a proxy in between.", 'needs = { http = { "api.render.com" } }')
M.api = "https://api.render.com/v1"

local function waiting(within)
  return { "options", { within = { "duration", "how long that may take", default = within }, every = { "duration", "how often it is asked at most", default = "2s" } }, "how long" }
end
local token_of, service_of = { "token", "secret", "of the API" }, { "service", "word", "name as on the dashboard, or id (srv-…)" }
local errors = { "render.unknown", "render.timeout", "http.status", "http.connection", "http.timeout", "permission" }

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
local function service(token, name)
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
  local began, pause = time.now(), 0.1
  while true do
    local now = request(token, "GET", "/services/" .. id)
    if test(now) then return now end
    if time.since(began) + o.every > o.within then
      error { kind = "render.timeout", message = ("%s: %s, but it is not so after %s"):format(now.name or id, doing, time.text(o.within)) }
    end
    sleep(math.min(pause, o.every)) -- short at first
    pause = pause * 2
  end
end

def "reachable" { doc = "Whether Render answers for every one of the services; raises for the first that it does not.", token_of, { "services", "names", "names or ids" },
  returns = { "boolean", "true" }, raises = errors, reads = true, example = [[local fine = render.reachable(p.token, { "web" })]],
  run = function(token, services)
    for _, name in ipairs(services) do service(token, name) end
    return true
  end }

def "state" { doc = "Whether a service is suspended.", token_of, service_of, returns = { "string", '"suspended" or "running"' }, raises = errors, reads = true,
  example = [[local state = render.state(p.token, "web")]],
  run = function(token, name) return is_suspended(service(token, name)) and "suspended" or "running" end }

def "live_deploy" { doc = "The deploy that is live.", token_of, service_of, returns = { "string?", "its id" }, raises = errors, reads = true,
  example = [[local deploy = render.live_deploy(p.token, "web")]],
  run = function(token, name)
    local id = service(token, name).id
    local found = request(token, "GET", ("/services/%s/deploys?limit=1&status=live"):format(id)) or {}
    return found[1] and found[1].deploy.id or nil
  end }

def "scale" { doc = "How many instances a service has.", token_of, service_of, returns = { "integer", "how many" }, raises = errors, reads = true,
  example = [[local instances = render.scale(p.token, "web")]],
  run = function(token, name)
    local details = service(token, name).serviceDetails
    return type(details) == "table" and details.numInstances or 1
  end }

local function check_instances(who, number, name, count)
  if count < 1 then arguments.fail(who, number, name, "a whole number from 1 expected, got " .. tostring(count)) end
end

def "set_scale" { doc = "Sets the number of instances.", token_of, service_of, { "count", "integer", "how many" }, raises = errors, writes = true,
  example = [[render.set_scale(p.token, "web", 3)]],
  run = function(token, name, count)
    check_instances("render.set_scale", 3, "count", count)
    request(token, "POST", ("/services/%s/scale"):format(service(token, name).id), { json = { numInstances = count } })
  end }

def "suspend" { doc = "Suspends a service and waits until Render says so; nothing happens where it is.", token_of, service_of, waiting "5m", raises = errors, writes = true,
  example = [[render.suspend(p.token, "web", { within = "90s" })]],
  run = function(token, name, o)
    local one = service(token, name)
    if not is_suspended(one) and arguments.unknown(request(token, "POST", ("/services/%s/suspend"):format(one.id))) then return end
    await(token, one.id, o, "is to be suspended", is_suspended)
  end }

def "resume" { doc = "Resumes a service and waits until Render says so. What it serves, `http.expect` says.", token_of, service_of,
  { "scale", "integer?", "so many instances" }, waiting "5m", raises = errors, writes = true,
  example = [[render.resume(p.token, "web", 3)]],
  run = function(token, name, scale, o)
    if scale then check_instances("render.resume", 3, "scale", scale) end
    local one = service(token, name)
    if is_suspended(one) and arguments.unknown(request(token, "POST", ("/services/%s/resume"):format(one.id))) then return end
    await(token, one.id, o, "is to run again", function(now) return not is_suspended(now) end)
    local details = one.serviceDetails
    if scale and type(details) == "table" and details.numInstances ~= scale then M.set_scale(token, one.id, scale) end
  end }

local final = { live = true, build_failed = true, update_failed = true, pre_deploy_failed = true, canceled = true, deactivated = true }

def "deploy" {
  doc = "Goes back to a deploy, and waits until that is live, unless the service is suspended: then Render begins with it when it is resumed. Nothing happens where it is live already.",
  token_of, service_of, { "deploy", "word", "its id" }, waiting "15m", returns = { "string", "id of the new deploy" },
  raises = { "render.deploy", "render.unknown", "render.timeout", "http.status", "http.connection", "http.timeout", "permission" }, writes = true,
  example = [[render.deploy(p.token, "web", "dep-1")]],
  run = function(token, name, deploy, o)
    local one = service(token, name)
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
  end }

def "env" { doc = "A variable of the service's environment. It is a secret of Render's: do not put it into a result.", token_of, service_of, { "key", "word", "its name" },
  returns = { "string?", "its value" }, raises = errors, reads = true, example = [[local mode = render.env(p.token, "web", "MODE")]],
  run = function(token, name, key)
    local id = service(token, name).id
    local cursor = ""
    while true do
      local page = request(token, "GET", ("/services/%s/env-vars?limit=100%s"):format(id, cursor)) or {}
      for _, entry in ipairs(page) do
        if entry.envVar.key == key then return entry.envVar.value end
      end
      if #page < 100 then return nil end
      cursor = "&cursor=" .. encoded(page[#page].cursor)
    end
  end }

def "set_env" { doc = "Sets a variable. The service sees it with its next deploy.", token_of, service_of, { "key", "word", "its name" }, { "value", "secret", "its value" }, raises = errors, writes = true,
  example = [[render.set_env(p.token, "web", "MODE", "maintenance")]],
  run = function(token, name, key, value)
    request(token, "PUT", ("/services/%s/env-vars/%s"):format(service(token, name).id, encoded(key)), { json = { value = value } })
  end }

return M

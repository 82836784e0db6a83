-- Kubernetes workloads, through kubectl.
--   local kube = require "kube"
--   local traffic = kube.scaled "deployment/api"      -- a toggle: off is zero replicas, on the number that it found
--   step "stop traffic" { traffic.off }
-- Every function takes options last: namespace, context, within ("2m", how long a roll-out may take). needs.shell: "kubectl".
-- Where and with which rights is kubectl's own affair (KUBECONFIG, current context): name the context in production.
local arguments = require "arguments"
local M = {}

-- How many replicas a workload had before it was scaled to zero: kept at the workload itself, so that any later run finds it.
local annotation = "runbook/replicas-before"

local function options_of(who, number, given)
  return arguments.options(who, number, given, { namespace = { "string" }, context = { "string" }, within = { "duration", "2m" } })
end

local function kubectl(o, words, more)
  local command = { "kubectl" }
  for _, word in ipairs(words) do command[#command + 1] = word end
  if o.context then command[#command + 1] = "--context=" .. o.context end
  if o.namespace then command[#command + 1] = "--namespace=" .. o.namespace end
  for name, value in pairs(more or {}) do command[name] = value end
  return sh.run(command)
end

local function workload(who, value)
  arguments.word(who, 1, "workload", value)
  if not value:find "^[%w.]+/[%w.-]+$" then arguments.fail(who, 1, "workload", ("kind/name such as deployment/api expected, got '%s'"):format(value)) end
  return value
end

local function get(o, name)
  return json.decode(kubectl(o, { "get", name, "--output=json" }, { reads = true }).out)
end

-- nil, where JSON says null or nothing.
local function given(value)
  if value == null then return nil end
  return value
end
local function within(table, ...)
  for _, key in ipairs { ... } do
    if given(table) == nil then return nil end
    table = table[key]
  end
  return given(table)
end

-- The object as Kubernetes describes it.
function M.get(name, options)
  arguments.word("kube.get", 1, "name", name)
  return get(options_of("kube.get", 2, options), name)
end

-- { wanted, ready, available, updated, before }: before is what scaled() remembers, or nil.
function M.replicas(name, options)
  local object = get(options_of("kube.replicas", 2, options), workload("kube.replicas", name))
  local status = given(object.status) or {}
  return { wanted = within(object, "spec", "replicas") or 1, ready = given(status.readyReplicas) or 0, available = given(status.availableReplicas) or 0,
    updated = given(status.updatedReplicas) or 0, before = tonumber(within(object, "metadata", "annotations", annotation) or nil) }
end

-- Waits until the newest change is rolled out. Raises shell.exit with what kubectl says where it is not within `within`.
function M.rollout(name, options)
  local o = options_of("kube.rollout", 2, options)
  kubectl(o, { "rollout", "status", workload("kube.rollout", name), ("--timeout=%ds"):format(math.ceil(o.within)) }, { reads = true, timeout = o.within + 30 })
end

-- Waits until as many replicas run as are wanted; a roll-out status does not wait for those that go.
local function settle(name, options, o, count)
  if count > 0 then return M.rollout(name, options) end
  local began = time.now()
  while true do
    local status = get(o, name).status or {}
    local left = given(status.replicas) or 0
    if left == 0 then return end
    if time.since(began) > o.within then
      error { kind = "kube.replicas", message = ("%s: %d replicas still run after %s"):format(name, left, time.text(o.within)) }
    end
    sleep(1)
  end
end

-- Sets the number of replicas and waits for it.
function M.scale(name, count, options)
  workload("kube.scale", name)
  if type(count) ~= "number" or count < 0 or count % 1 ~= 0 then arguments.fail("kube.scale", 2, "count", "a whole number from 0 expected, got " .. tostring(count)) end
  local o = options_of("kube.scale", 3, options)
  if arguments.unknown(kubectl(o, { "scale", name, ("--replicas=%d"):format(count) })) then return end
  settle(name, options, o, count)
end

-- A toggle that takes a workload off and puts it back with the number of replicas that it had: "on" runs, "off" is zero replicas.
function M.scaled(name, options)
  workload("kube.scaled", name)
  local o = options_of("kube.scaled", 2, options)
  return toggle {
    off = function()
      local now = M.replicas(name, options)
      if now.wanted > 0 then -- remembered first: a crash in between leaves a note that the next `off` renews
        kubectl(o, { "annotate", name, ("%s=%d"):format(annotation, now.wanted), "--overwrite" })
      end
      M.scale(name, 0, options)
    end,
    on = function()
      local now = M.replicas(name, options)
      if now.wanted == 0 and not now.before then
        error { kind = "kube.replicas", message = ("%s has no replicas, and nobody noted how many it had"):format(name),
          hint = ("say it: kubectl annotate %s %s=N"):format(name, annotation) }
      end
      M.scale(name, now.wanted > 0 and now.wanted or now.before, options)
      if now.before then kubectl(o, { "annotate", name, annotation .. "-" }) end
    end,
    state = function()
      local now = M.replicas(name, options)
      if now.wanted == 0 then return "off" end
      return now.ready >= now.wanted and "on" or nil -- nil: it is on its way, a person decides
    end,
  }
end

-- Sets a variable in the workload's containers and waits until it is rolled out; null removes it.
function M.set_env(name, variable, value, options)
  workload("kube.set_env", name)
  if type(variable) ~= "string" or not variable:find "^[%a_][%w_]*$" then arguments.fail("kube.set_env", 2, "variable", "name of a variable expected, got " .. tostring(variable)) end
  local kind = type(value)
  if value ~= null and kind ~= "string" and kind ~= "number" then
    arguments.fail("kube.set_env", 3, "value", "text or number expected, got " .. kind .. (kind == "userdata" and ": a secret belongs into a Secret of Kubernetes, not on a command line" or ""))
  end
  local o = options_of("kube.set_env", 4, options)
  kubectl(o, { "set", "env", name, value == null and variable .. "-" or ("%s=%s"):format(variable, value) })
  M.rollout(name, options)
end

-- The value of a variable as the workload has it now, or nil. It comes from the first container that has it.
function M.env(name, variable, options)
  local object = get(options_of("kube.env", 3, options), workload("kube.env", name))
  for _, container in ipairs(within(object, "spec", "template", "spec", "containers") or {}) do
    for _, entry in ipairs(given(container.env) or {}) do
      if entry.name == variable then return given(entry.value) end
    end
  end
  return nil
end

-- The image of a container (of the only one, where `container` is nil).
function M.image(name, container, options)
  local object = get(options_of("kube.image", 3, options), workload("kube.image", name))
  local containers = within(object, "spec", "template", "spec", "containers") or {}
  if container == nil and #containers == 1 then return containers[1].image end
  local names = {}
  for _, one in ipairs(containers) do
    if one.name == container then return one.image end
    names[#names + 1] = one.name
  end
  error { kind = "argument", message = ("kube.image: argument 2 'container': %s has the containers %s"):format(name, table.concat(names, ", ")) }
end

-- Sets a container's image and waits until it is rolled out.
function M.set_image(name, container, image, options)
  workload("kube.set_image", name)
  arguments.word("kube.set_image", 2, "container", container)
  arguments.word("kube.set_image", 3, "image", image)
  kubectl(options_of("kube.set_image", 4, options), { "set", "image", name, container .. "=" .. image })
  M.rollout(name, options)
end

-- The number of the newest revision (of a deployment: its annotation).
function M.revision(name, options)
  local object = get(options_of("kube.revision", 2, options), workload("kube.revision", name))
  return tonumber(within(object, "metadata", "annotations", "deployment.kubernetes.io/revision") or nil)
end

-- Goes back to a revision (nil: the one before) and waits until it is rolled out.
function M.rollback(name, revision, options)
  workload("kube.rollback", name)
  local words = { "rollout", "undo", name }
  if revision ~= nil then
    if type(revision) ~= "number" then arguments.fail("kube.rollback", 2, "revision", "number expected, got " .. type(revision)) end
    words[4] = ("--to-revision=%d"):format(revision)
  end
  kubectl(options_of("kube.rollback", 3, options), words)
  M.rollout(name, options)
end

return M

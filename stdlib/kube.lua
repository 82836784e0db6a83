-- Kubernetes workloads, through kubectl.
--   local kube = require "kube"
--   local traffic = kube.scaled "deployment/api"      -- a toggle: off is zero replicas, on the number that it found
--   step "stop traffic" { traffic.off }
-- Where and with which rights is kubectl's own affair (KUBECONFIG, current context): name the context in production.
local arguments, declare = require "arguments", require "declare"
local M, def = declare.module("kube", "Kubernetes workloads, through kubectl.", 'needs = { shell = { "kubectl" } }')

-- How many replicas a workload had before it was scaled to zero: kept at the workload itself, so that any later run finds it.
local annotation = "runbook/replicas-before"

local options = { "options", { namespace = { "word", "kubectl's own where it is left out" }, context = { "word", "of KUBECONFIG; name it in production" },
  within = { "duration", "how long a roll-out may take", default = "2m" } }, "where, and how long" }
local workload_of, errors = { "workload", "word", "kind/name: deployment/api" }, { "shell.exit", "shell.not_found", "shell.timeout", "permission" }

local function kubectl(o, words, more)
  local command = { "kubectl" }
  for _, word in ipairs(words) do command[#command + 1] = word end
  if o.context then command[#command + 1] = "--context=" .. o.context end
  if o.namespace then command[#command + 1] = "--namespace=" .. o.namespace end
  for name, value in pairs(more or {}) do command[name] = value end
  return sh.run(command)
end

local function workload(who, value)
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

def "get" { doc = "An object as Kubernetes describes it.", { "name", "word", "kind/name" }, options, returns = { "table", "what kubectl get --output=json says" }, raises = errors, reads = true,
  example = [[local pod = kube.get("pod/api-1", { namespace = "shop" })]], run = function(name, o) return get(o, name) end }

def "replicas" { doc = "How many replicas a workload has.", workload_of, options,
  returns = { "table", "{wanted, ready, available, updated, before}: before is what scaled() remembers, or nil" }, raises = errors, reads = true,
  example = [[local ready = kube.replicas("deployment/api").ready]],
  run = function(name, o)
    local object = get(o, workload("kube.replicas", name))
    local status = given(object.status) or {}
    return { wanted = within(object, "spec", "replicas") or 1, ready = given(status.readyReplicas) or 0, available = given(status.availableReplicas) or 0,
      updated = given(status.updatedReplicas) or 0, before = tonumber(within(object, "metadata", "annotations", annotation) or nil) }
  end }

def "rollout" { doc = "Waits until the newest change is rolled out.", workload_of, options, raises = errors, reads = true, example = [[kube.rollout("deployment/api", { within = "5m" })]],
  run = function(name, o)
    kubectl(o, { "rollout", "status", workload("kube.rollout", name), ("--timeout=%ds"):format(math.ceil(o.within)) }, { reads = true, timeout = o.within + 30 })
  end }

-- Waits until as many replicas run as are wanted; a roll-out status does not wait for those that go.
local function settle(name, o, count)
  if count > 0 then return M.rollout(name, o) end
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

def "scale" { doc = "Sets the number of replicas and waits for it.", workload_of, { "count", "count", "how many" }, options,
  raises = { "kube.replicas", "shell.exit", "shell.not_found", "shell.timeout", "permission" }, writes = true, example = [[kube.scale("deployment/api", 3)]],
  run = function(name, count, o)
    workload("kube.scale", name)
    if arguments.unknown(kubectl(o, { "scale", name, ("--replicas=%d"):format(count) })) then return end
    settle(name, o, count)
  end }

def "scaled" {
  doc = "A toggle that takes a workload off and puts it back with the number of replicas that it had: \"on\" runs, \"off\" is zero replicas. The number is noted at the workload, so that any later run finds it.",
  workload_of, options, returns = { "toggle", "for steps: .on and .off" }, raises = { "argument" }, example = [[local traffic = kube.scaled "deployment/api"]],
  run = function(name, o)
    workload("kube.scaled", name)
    return toggle {
      off = function()
        local now = M.replicas(name, o)
        if now.wanted > 0 then -- remembered first: a crash in between leaves a note that the next `off` renews
          kubectl(o, { "annotate", name, ("%s=%d"):format(annotation, now.wanted), "--overwrite" })
        end
        M.scale(name, 0, o)
      end,
      on = function()
        local now = M.replicas(name, o)
        if now.wanted == 0 and not now.before then
          error { kind = "kube.replicas", message = ("%s has no replicas, and nobody noted how many it had"):format(name),
            hint = ("say it: kubectl annotate %s %s=N"):format(name, annotation) }
        end
        M.scale(name, now.wanted > 0 and now.wanted or now.before, o)
        if now.before then kubectl(o, { "annotate", name, annotation .. "-" }) end
      end,
      state = function()
        local now = M.replicas(name, o)
        if now.wanted == 0 then return "off" end
        return now.ready >= now.wanted and "on" or nil -- nil: it is on its way, a person decides
      end,
    }
  end }

local function variable_name(who, variable)
  if not variable:find "^[%a_][%w_]*$" then arguments.fail(who, 2, "variable", "name of a variable expected, got " .. variable) end
end

def "set_env" { doc = "Sets a variable in the workload's containers and waits until it is rolled out.", workload_of, { "variable", "word", "its name" },
  { "value", "any", "text or number; null removes it. A secret belongs into a Secret of Kubernetes" }, options, raises = errors, writes = true,
  example = [[kube.set_env("deployment/api", "MAINTENANCE_MODE", "true")]],
  run = function(name, variable, value, o)
    workload("kube.set_env", name)
    variable_name("kube.set_env", variable)
    local kind = type(value)
    if value ~= null and kind ~= "string" and kind ~= "number" then
      arguments.fail("kube.set_env", 3, "value", "text or number expected, got " .. kind .. (kind == "userdata" and ": a secret belongs into a Secret of Kubernetes, not on a command line" or ""))
    end
    kubectl(o, { "set", "env", name, value == null and variable .. "-" or ("%s=%s"):format(variable, value) })
    M.rollout(name, o)
  end }

def "env" { doc = "The value of a variable as the workload has it now, from the first container that has it.", workload_of, { "variable", "word", "its name" }, options,
  returns = { "string?", "nil where no container has it" }, raises = errors, reads = true, example = [[local mode = kube.env("deployment/api", "MAINTENANCE_MODE")]],
  run = function(name, variable, o)
    local object = get(o, workload("kube.env", name))
    for _, container in ipairs(within(object, "spec", "template", "spec", "containers") or {}) do
      for _, entry in ipairs(given(container.env) or {}) do
        if entry.name == variable then return given(entry.value) end
      end
    end
    return nil
  end }

def "image" { doc = "The image of a container.", workload_of, { "container", "word?", "its name; may be left out where there is only one" }, options,
  returns = { "string", "as the workload names it" }, raises = errors, reads = true, example = [[local image = kube.image "deployment/api"]],
  run = function(name, container, o)
    local object = get(o, workload("kube.image", name))
    local containers = within(object, "spec", "template", "spec", "containers") or {}
    if container == nil and #containers == 1 then return containers[1].image end
    local names = {}
    for _, one in ipairs(containers) do
      if one.name == container then return one.image end
      names[#names + 1] = one.name
    end
    error { kind = "argument", message = ("kube.image: argument 2 'container': %s has the containers %s"):format(name, table.concat(names, ", ")) }
  end }

def "set_image" { doc = "Sets a container's image and waits until it is rolled out.", workload_of, { "container", "word", "its name" }, { "image", "word", "name:tag, or name@digest" }, options,
  raises = errors, writes = true, example = [[kube.set_image("deployment/api", "api", "api:2")]],
  run = function(name, container, image, o)
    kubectl(o, { "set", "image", workload("kube.set_image", name), container .. "=" .. image })
    M.rollout(name, o)
  end }

def "revision" { doc = "The number of a deployment's newest revision.", workload_of, options, returns = { "integer?", "nil where it has none" }, raises = errors, reads = true,
  example = [[local revision = kube.revision "deployment/api"]],
  run = function(name, o)
    return tonumber(within(get(o, workload("kube.revision", name)), "metadata", "annotations", "deployment.kubernetes.io/revision") or nil)
  end }

def "rollback" { doc = "Goes back to a revision and waits until it is rolled out.", workload_of, { "revision", "count?", "the one before where it is left out" }, options, raises = errors, writes = true,
  example = [[kube.rollback("deployment/api", 4)]],
  run = function(name, revision, o)
    local words = { "rollout", "undo", workload("kube.rollback", name) }
    if revision then words[4] = ("--to-revision=%d"):format(revision) end
    kubectl(o, words)
    M.rollout(name, o)
  end }

return M

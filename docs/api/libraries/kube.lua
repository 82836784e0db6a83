---@meta kube
-- Generated from the declarations in stdlib/.

---Kubernetes workloads, through kubectl. In a playbook: `local kube = require "kube"`, and `needs = { shell = { "kubectl" } }`.
---@class kubelib
local kube = {}

---@class kube.get.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---An object as Kubernetes describes it.
---@param name string kind/name
---@param options? kube.get.options where, and how long
---@return table what kubectl get --output=json says
function kube.get(name, options) end

---@class kube.replicas.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---How many replicas a workload has.
---@param workload string kind/name: deployment/api
---@param options? kube.replicas.options where, and how long
---@return table {wanted, ready, available, updated, before}: before is what scaled() remembers, or nil
function kube.replicas(workload, options) end

---@class kube.rollout.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---Waits until the newest change is rolled out.
---@param workload string kind/name: deployment/api
---@param options? kube.rollout.options where, and how long
function kube.rollout(workload, options) end

---@class kube.scale.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---Sets the number of replicas and waits for it.
---@param workload string kind/name: deployment/api
---@param count integer how many
---@param options? kube.scale.options where, and how long
function kube.scale(workload, count, options) end

---@class kube.scaled.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---A toggle that takes a workload off and puts it back with the number of replicas that it had: "on" runs, "off" is zero replicas. The number is noted at the workload, so that any later run finds it.
---@param workload string kind/name: deployment/api
---@param options? kube.scaled.options where, and how long
---@return toggle for steps: .on and .off
function kube.scaled(workload, options) end

---@class kube.set_env.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---Sets a variable in the workload's containers and waits until it is rolled out.
---@param workload string kind/name: deployment/api
---@param variable string its name
---@param value any text or number; null removes it. A secret belongs into a Secret of Kubernetes
---@param options? kube.set_env.options where, and how long
function kube.set_env(workload, variable, value, options) end

---@class kube.env.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---The value of a variable as the workload has it now, from the first container that has it.
---@param workload string kind/name: deployment/api
---@param variable string its name
---@param options? kube.env.options where, and how long
---@return string? nil where no container has it
function kube.env(workload, variable, options) end

---@class kube.image.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---The image of a container.
---@param workload string kind/name: deployment/api
---@param container? string its name; may be left out where there is only one
---@param options? kube.image.options where, and how long
---@return string as the workload names it
function kube.image(workload, container, options) end

---@class kube.set_image.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---Sets a container's image and waits until it is rolled out.
---@param workload string kind/name: deployment/api
---@param container string its name
---@param image string name:tag, or name@digest
---@param options? kube.set_image.options where, and how long
function kube.set_image(workload, container, image, options) end

---@class kube.revision.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---The number of a deployment's newest revision.
---@param workload string kind/name: deployment/api
---@param options? kube.revision.options where, and how long
---@return integer? nil where it has none
function kube.revision(workload, options) end

---@class kube.rollback.options
---@field context? string of KUBECONFIG; name it in production
---@field namespace? string kubectl's own where it is left out
---@field within? string|number how long a roll-out may take (2m)

---Goes back to a revision and waits until it is rolled out.
---@param workload string kind/name: deployment/api
---@param revision? integer the one before where it is left out
---@param options? kube.rollback.options where, and how long
function kube.rollback(workload, revision, options) end

return kube

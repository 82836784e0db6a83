---@meta render
-- Generated from the declarations in stdlib/.

---Services on Render, through its API. `render.api = …` names a proxy in between. In a playbook: `local render = require "render"`, and `needs = { http = { "api.render.com" } }`.
---@class renderlib
local render = {}

---Whether Render answers for every one of the services; raises for the first that it does not.
---@param token string|secret of the API
---@param services string[] names or ids
---@return boolean true
function render.reachable(token, services) end

---Whether a service is suspended.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@return string "suspended" or "running"
function render.state(token, service) end

---The deploy that is live.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@return string? its id
function render.live_deploy(token, service) end

---How many instances a service has.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@return integer how many
function render.scale(token, service) end

---Sets the number of instances.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@param count integer how many
function render.set_scale(token, service, count) end

---@class render.suspend.options
---@field every? string|number how often it is asked at most (2s)
---@field within? string|number how long that may take (5m)

---Suspends a service and waits until Render says so; nothing happens where it is.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@param options? render.suspend.options how long
function render.suspend(token, service, options) end

---@class render.resume.options
---@field every? string|number how often it is asked at most (2s)
---@field within? string|number how long that may take (5m)

---Resumes a service and waits until Render says so. What it serves, `http.expect` says.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@param scale? integer so many instances
---@param options? render.resume.options how long
function render.resume(token, service, scale, options) end

---@class render.deploy.options
---@field every? string|number how often it is asked at most (2s)
---@field within? string|number how long that may take (15m)

---Goes back to a deploy, and waits until that is live, unless the service is suspended: then Render begins with it when it is resumed. Nothing happens where it is live already.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@param deploy string its id
---@param options? render.deploy.options how long
---@return string id of the new deploy
function render.deploy(token, service, deploy, options) end

---A variable of the service's environment. It is a secret of Render's: do not put it into a result.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@param key string its name
---@return string? its value
function render.env(token, service, key) end

---Sets a variable. The service sees it with its next deploy.
---@param token string|secret of the API
---@param service string name as on the dashboard, or id (srv-…)
---@param key string its name
---@param value string|secret its value
function render.set_env(token, service, key, value) end

return render

---@meta maintenance
-- Generated from the declarations in stdlib/.

---The maintenance page of an application that shows it while a file exists. In a playbook: `local maintenance = require "maintenance"`, and `needs = { files = { "app_dir" }, http = { "app" } }`.
---@class maintenancelib
local maintenance = {}

---@class maintenance.page.options
---@field file string the file
---@field off_status? any the same while it is off (200 or 302)
---@field on_status? any status, or a list of them, while it is on (503)
---@field url string the address that users see
---@field within? string|number how long that may take (60s)

---A toggle. On: the file exists and the address answers 503. Off: it is gone and the address answers 200 or a redirect.
---@param options maintenance.page.options which page
---@return toggle for steps: .on and .off
function maintenance.page(options) end

return maintenance

---@meta service
-- Generated from the declarations in stdlib/.

---systemd's units on this host. There is no restart: stop, change and start are steps. In a playbook: `local service = require "service"`, and `needs = { shell = { "sudo -n systemctl * UNIT" } }`; for log() "sudo -n journalctl" too; with { sudo = false } without "sudo -n".
---@class servicelib
local service = {}

---@class service.state.options
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---What systemd says about a unit.
---@param unit string as systemctl status takes it
---@param options? service.state.options whose
---@return string active, inactive, failed, activating, deactivating or reloading
function service.state(unit, options) end

---@class service.start.options
---@field active? string|number how long that may take (30s)
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---Starts a unit and waits until it is active.
---@param unit string as systemctl status takes it
---@param options? service.start.options how
---@return string its state
function service.start(unit, options) end

---@class service.stop.options
---@field inactive? string|number how long that may take (30s)
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---Stops a unit and waits until it is inactive; one that failed is stopped too.
---@param unit string as systemctl status takes it
---@param options? service.stop.options how
---@return string its state
function service.stop(unit, options) end

---@class service.reload.options
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---Has a unit read its settings again, where it can.
---@param unit string as systemctl status takes it
---@param options? service.reload.options whose
function service.reload(unit, options) end

---@class service.running.options
---@field active? string|number how long a start may take (30s)
---@field inactive? string|number how long a stop may take (30s)
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---A toggle: on is started, off is stopped.
---@param unit string as systemctl status takes it
---@param options? service.running.options how
---@return toggle for steps: .on and .off
function service.running(unit, options) end

---@class service.started.options
---@field active? string|number how long a start may take (30s)
---@field inactive? string|number how long a stop may take (30s)
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---For a single step: the unit runs; undone, it is stopped.
---@param unit string as systemctl status takes it
---@param options? service.started.options how
---@return action for a step
function service.started(unit, options) end

---@class service.stopped.options
---@field active? string|number how long a start may take (30s)
---@field inactive? string|number how long a stop may take (30s)
---@field sudo? boolean through sudo -n (true)
---@field user? boolean of the user's own manager, without sudo (false)

---For a single step: the unit is stopped; undone, it runs again.
---@param unit string as systemctl status takes it
---@param options? service.stopped.options how
---@return action for a step
function service.stopped(unit, options) end

---@class service.log.options
---@field lines? integer at most so many (10000)
---@field matching? any a text or a list of them: only lines that contain one
---@field since? any a timestamp, seconds since the epoch, or that long ago (5m)
---@field sudo? boolean through sudo -n (true)
---@field till? integer seconds since the epoch: only what was logged before
---@field user? boolean of the user's own manager, without sudo (false)

---The lines that a unit logged.
---@param unit string as systemctl status takes it
---@param options? service.log.options which lines
---@return string[] in their order
function service.log(unit, options) end

return service

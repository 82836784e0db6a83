---@meta config
-- Generated from the declarations in stdlib/.

---Files of settings: put in place as a whole, edited by name, and put back. What was there lies beside each file as NAME.before-RUN until it is put back; after a run that succeeded it stays, for a later rollback: remove it when none is wanted any more. In a playbook: `local config = require "config"`, and `needs = { files = { the folders of the files and of what they are made from } }`; for environment() also shell = { "sudo -n systemctl daemon-reload" }.
---@class configlib
local config = {}

---An action: puts files in the place of others. Owner and mode of a target that exists stay.
---@param files table [target] = source; `dir` is where the targets are
---@return action for a step
function config.files(files) end

---An action: sets values in a file of lines NAME=value (.env, EnvironmentFile, ini without sections). Lines of these names are replaced in place, others stay, new names go to the end.
---@param path string the file
---@param values table name = text, number or boolean
---@return action for a step
function config.values(path, values) end

---An action: changes a text file with a function.
---@param path string the file
---@param fn function text → new text
---@return action for a step
function config.edit(path, fn) end

---@class config.environment.options
---@field dir? string where units have their drop-ins (/etc/systemd/system)
---@field file? string name of the file (runbook.conf)
---@field sudo? boolean for systemctl daemon-reload (true)

---An action: the environment of a systemd unit, as a drop-in file of its own, for its owner alone. systemd reads its units again after it, and after it is put back; the unit sees it with its next start.
---@param unit string as systemctl status takes it
---@param values table name = text, number or secret
---@param options? config.environment.options where
---@return action for a step
function config.environment(unit, values, options) end

return config

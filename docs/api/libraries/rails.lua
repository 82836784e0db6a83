---@meta rails
-- Generated from the declarations in stdlib/.

---A Rails application on this host, through bundler. In a playbook: `local rails = require "rails"`, and `needs = { shell = { "bundle exec rails *" } }`; for bundle() "bundle install *" too.
---@class railslib
local rails = {}

---An application, from rails.app; the functions of this module that take it first are its methods.
---@class rails.app
---@field run function Runs a command of Rails.
---@field json function The value of a Ruby expression, by way of JSON. The code only looks: it runs where effects are refused too.
---@field newest_migration function The newest migration that the application's folder holds (db/migrate/20260101120000_name.rb).
---@field bundle function An action: installs what the Gemfile.lock says. Undone, it is installed again, after the other actions of the step were undone: with config.files the old Gemfile is back by then.
---@field canary function Runs one small task per name of the application's own canary (rails runbook:canary[name]), which makes a record in a tenant of its own, reads it back and removes it. Exit code 2 says that it is critical.

---@class rails.app.options
---@field dir string where it lives
---@field env? string Rails' environment (production)
---@field timeout? string|number of each command (5m)
---@field variables? table name = value: further environment, secrets too

---A Rails application. Nothing is run before the first use.
---@param options rails.app.options which one
---@return rails.app with the functions of this module as methods
function rails.app(options) end

---Runs a command of Rails.
---@param app rails.app what it is about
---@param ... string its words
---@return table as from sh.run
function rails.run(app, ...) end

---The value of a Ruby expression, by way of JSON. The code only looks: it runs where effects are refused too.
---@param app rails.app what it is about
---@param code string Ruby
---@return any what it is
function rails.json(app, code) end

---The newest migration that the application's folder holds (db/migrate/20260101120000_name.rb).
---@param app rails.app what it is about
---@return integer? its number
function rails.newest_migration(app) end

---An action: installs what the Gemfile.lock says. Undone, it is installed again, after the other actions of the step were undone: with config.files the old Gemfile is back by then.
---@param app rails.app what it is about
---@return action for a step
function rails.bundle(app) end

---Runs one small task per name of the application's own canary (rails runbook:canary[name]), which makes a record in a tenant of its own, reads it back and removes it. Exit code 2 says that it is critical.
---@param app rails.app what it is about
---@param names string[] of the tasks
---@return table {ran, failed, critical_failed, problems}
function rails.canary(app, names) end

return rails

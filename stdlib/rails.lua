-- A Rails application on this host, through bundler.
--   local rails = require "rails"
--   local app = rails.app { dir = "/srv/app/", env = "production" }
--   app:json "{ users: User.count }"        -- the value of a Ruby expression
-- needs.shell: "bundle exec rails *", for bundle() "bundle install *".
local arguments = require "arguments"
local M = {}
local App = {}
App.__index = App

-- Options: dir (where it lives), env ("production"), variables (name = value, further environment; secrets too), timeout ("5m").
function M.app(options)
  local o = arguments.options("rails.app", 1, options, { dir = { "string" }, env = { "string", "production" }, variables = { "table" }, timeout = { "duration", "5m" } })
  if not o.dir then arguments.fail("rails.app", 1, "options", "option 'dir' is required") end
  return setmetatable(o, App)
end

local function app_of(who, value)
  if type(value) ~= "table" or getmetatable(value) ~= App then arguments.fail(who, 1, "app", "what rails.app returned expected, got " .. type(value)) end
  return value
end

local function run(app, words, more)
  local env = { RAILS_ENV = app.env, DISABLE_SPRING = "1" }
  for name, value in pairs(app.variables or {}) do env[name] = value end
  words.cwd, words.env, words.timeout = app.dir, env, app.timeout
  for name, value in pairs(more or {}) do words[name] = value end
  return sh.run(words)
end

-- Runs a command of Rails: app:run("db:migrate"). Returns what sh.run returns.
function App:run(...)
  local words = { "bundle", "exec", "rails" }
  for i, word in ipairs { ... } do words[i + 3] = arguments.text("app:run", i, "word", word) end
  return run(self, words)
end

-- The value of a Ruby expression, by way of JSON. The code only looks: it runs where effects are refused too.
-- What else the application prints on its way is not taken for the result.
function App:json(code)
  arguments.text("app:json", 1, "code", code)
  local mark = "runbook-result-" .. crypto.random(8) .. ":"
  local script = ("require 'json'; value = begin\n%s\nend; STDOUT.flush; puts; puts '%s' + JSON.generate(value)"):format(code, mark)
  local out = run(self, { "bundle", "exec", "rails", "runner", script }, { reads = true }).out
  local found = out:match("\n?" .. mark:gsub("%-", "%%-") .. "([^\n]*)")
  if not found then error { kind = "rails.result", message = "the expression printed no result: the process ended early" } end
  return json.decode(found)
end

-- The newest migration that the application's folder holds, as a number (db/migrate/20260101120000_name.rb).
function App:newest_migration()
  local newest
  local dir = self.dir .. (self.dir:find "/$" and "" or "/") .. "db/migrate/"
  for _, name in ipairs(fs.list(dir)) do
    local version = tonumber(name:match "^(%d+)_.*%.rb$")
    if version and (not newest or version > newest) then newest = version end
  end
  return newest
end

-- An action: installs what the Gemfile.lock says. Undone, it is installed again, after the other actions of the step were undone:
-- `step "x" { config.files { … Gemfile … }, rails.bundle(app) }` brings the old Gemfile back first.
function M.bundle(app)
  app_of("rails.bundle", app)
  local function install() run(app, { "bundle", "install", "--quiet", "--jobs=4" }) end
  return action { run = install, undo = install, undo_last = true }
end

-- Runs one small task per name of the application's own canary (rails runbook:canary[name]), which makes a record in a tenant of its own,
-- reads it back and removes it. Returns { ran, failed, critical_failed, problems }.
function M.canary(app, names)
  app_of("rails.canary", app)
  if type(names) ~= "table" or #names == 0 then arguments.fail("rails.canary", 2, "names", "list of names expected") end
  local result = { ran = 0, failed = 0, critical_failed = 0, problems = json.array {} }
  for _, name in ipairs(names) do
    arguments.word("rails.canary", 2, "names", name)
    local out = run(app, { "bundle", "exec", "rails", ("runbook:canary[%s]"):format(name) }, { any_exit = true, reads = true })
    result.ran = result.ran + 1
    if out.exit ~= 0 then
      result.failed = result.failed + 1
      result.critical_failed = result.critical_failed + (out.exit == 2 and 1 or 0) -- 2: says that it is critical
      result.problems[#result.problems + 1] = ("%s: %s"):format(name, (out.err .. out.out):match "[^\n]+" or "exit " .. out.exit)
    end
  end
  return result
end

return M

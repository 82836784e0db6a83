-- A Rails application on this host, through bundler.
--   local rails = require "rails"
--   local app = rails.app { dir = "/srv/app/", env = "production" }
--   app:json "{ users: User.count }"        -- the value of a Ruby expression
local declare = require "declare"
local M, def = declare.module("rails", "A Rails application on this host, through bundler.", 'needs = { shell = { "bundle exec rails *" } }; for bundle() "bundle install *" too')
local App = def.type("app", "An application, from rails.app; the functions of this module that take it first are its methods.")

def "app" { doc = "A Rails application. Nothing is run before the first use.",
  { "options", { dir = { "text", "where it lives", required = true }, env = { "text", "Rails' environment", default = "production" },
    variables = { "table", "name = value: further environment, secrets too" }, timeout = { "duration", "of each command", default = "5m" } }, "which one" },
  returns = { "rails.app", "with the functions of this module as methods" }, raises = { "argument" }, example = [[local app = rails.app { dir = "/srv/app/" }]],
  run = function(o) return setmetatable(o, App) end }

local function run(app, words, more)
  local env = { RAILS_ENV = app.env, DISABLE_SPRING = "1" }
  for name, value in pairs(app.variables or {}) do env[name] = value end
  words.cwd, words.env, words.timeout = app.dir, env, app.timeout
  for name, value in pairs(more or {}) do words[name] = value end
  return sh.run(words)
end

local errors = { "shell.exit", "shell.not_found", "shell.timeout", "permission" }

def "run" { of = App, doc = "Runs a command of Rails.", { "...", "text", "its words" }, returns = { "table", "as from sh.run" }, raises = errors, writes = true,
  example = [[rails.run(rails.app { dir = "/srv/app/" }, "db:migrate")]],
  run = function(app, ...)
    local words = { "bundle", "exec", "rails" }
    for i, word in ipairs { ... } do words[i + 3] = word end
    return run(app, words)
  end }

-- What else the application prints on its way is not taken for the result.
def "json" { of = App, doc = "The value of a Ruby expression, by way of JSON. The code only looks: it runs where effects are refused too.", { "code", "text", "Ruby" },
  returns = { "value", "what it is" }, raises = { "rails.result", "shell.exit", "shell.not_found", "shell.timeout", "permission" }, reads = true,
  example = [[local users = rails.json(rails.app { dir = "/srv/app/" }, "User.count")]],
  run = function(app, code)
    local mark = "runbook-result-" .. crypto.random(8) .. ":"
    local script = ("require 'json'; value = begin\n%s\nend; STDOUT.flush; puts; puts '%s' + JSON.generate(value)"):format(code, mark)
    local out = run(app, { "bundle", "exec", "rails", "runner", script }, { reads = true }).out
    local found = out:match("\n?" .. mark:gsub("%-", "%%-") .. "([^\n]*)")
    if not found then error { kind = "rails.result", message = "the expression printed no result: the process ended early" } end
    return json.decode(found)
  end }

def "newest_migration" { of = App, doc = "The newest migration that the application's folder holds (db/migrate/20260101120000_name.rb).",
  returns = { "integer?", "its number" }, raises = { "fs", "permission" }, reads = true, example = [[local newest = rails.newest_migration(rails.app { dir = "/srv/app/" })]],
  run = function(app)
    local newest
    local dir = app.dir .. (app.dir:find "/$" and "" or "/") .. "db/migrate/"
    for _, name in ipairs(fs.list(dir)) do
      local version = tonumber(name:match "^(%d+)_.*%.rb$")
      if version and (not newest or version > newest) then newest = version end
    end
    return newest
  end }

def "bundle" { of = App,
  doc = "An action: installs what the Gemfile.lock says. Undone, it is installed again, after the other actions of the step were undone: with config.files the old Gemfile is back by then.",
  returns = { "action", "for a step" }, raises = { "argument" }, example = [[local install = rails.bundle(rails.app { dir = "/srv/app/" })]],
  run = function(app)
    local function install() run(app, { "bundle", "install", "--quiet", "--jobs=4" }) end
    return action { run = install, undo = install, undo_last = true }
  end }

def "canary" { of = App,
  doc = "Runs one small task per name of the application's own canary (rails runbook:canary[name]), which makes a record in a tenant of its own, reads it back and removes it. Exit code 2 says that it is critical.",
  { "names", "names", "of the tasks" }, returns = { "table", "{ran, failed, critical_failed, problems}" }, raises = { "shell.not_found", "shell.timeout", "permission", "argument" }, reads = true,
  example = [[local seen = rails.canary(rails.app { dir = "/srv/app/" }, { "operator" })]],
  run = function(app, names)
    if #names == 0 then error { kind = "argument", message = "rails.canary: argument 2 'names': list of names expected" } end
    local result = { ran = 0, failed = 0, critical_failed = 0, problems = json.array {} }
    for _, name in ipairs(names) do
      local out = run(app, { "bundle", "exec", "rails", ("runbook:canary[%s]"):format(name) }, { any_exit = true, reads = true })
      result.ran = result.ran + 1
      if out.exit ~= 0 then
        result.failed = result.failed + 1
        result.critical_failed = result.critical_failed + (out.exit == 2 and 1 or 0)
        result.problems[#result.problems + 1] = ("%s: %s"):format(name, (out.err .. out.out):match "[^\n]+" or "exit " .. out.exit)
      end
    end
    return result
  end }

return M

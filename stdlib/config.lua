-- Files of settings: put in place as a whole, edited by name, and put back. What was there before lies beside each file
-- (NAME.before-RUN) until it is put back, so that a crash or a later rollback finds it; after a run that succeeded it stays.
--   local config = require "config"
--   step "settings" { config.files { dir = "/srv/app/", ["config/database.yml"] = "deploy/database.yml" } }
--   step "limits" { config.values("/etc/app.env", { POOL = 20 }) }
local arguments, declare = require "arguments", require "declare"
local M, def = declare.module("config", "Files of settings: put in place as a whole, edited by name, and put back. What was there lies beside each file as NAME.before-RUN until it is put back; after a run that succeeded it stays, for a later rollback: remove it when none is wanted any more.",
  'needs = { files = { the folders of the files and of what they are made from } }; for environment() also shell = { "sudo -n systemctl daemon-reload" }')

local function copy_of(path, ctx)
  return ("%s.before-%s"):format(path, (ctx.id:gsub("[^%w.-]", "_")))
end

-- Keeps what is there, once: a second attempt must not take what the first one wrote for the original.
local function keep_old(path, ctx)
  local copy = copy_of(path, ctx)
  if fs.exists(copy) or fs.exists(copy .. ".absent") then return end
  if fs.exists(path) then fs.copy(path, copy) else fs.touch(copy .. ".absent") end
end

local function put_back(path, ctx)
  local copy = copy_of(path, ctx)
  if fs.exists(copy) then
    fs.copy(copy, path)
    fs.remove(copy)
  elseif fs.exists(copy .. ".absent") then
    fs.remove(path)
    fs.remove(copy .. ".absent")
  end
end

local function keys(map)
  local list = {}
  for key in pairs(map) do list[#list + 1] = key end
  table.sort(list)
  return list
end

-- An action that changes the files `paths`: `write(path)` does it, `is_done(path)` says that there is nothing to do.
local function changing(paths, write, is_done)
  return action {
    run = function(ctx)
      for _, path in ipairs(paths) do
        if not is_done(path) then
          keep_old(path, ctx)
          write(path)
        end
      end
    end,
    undo = function(ctx)
      for i = #paths, 1, -1 do put_back(paths[i], ctx) end
    end,
    observe = function(ctx)
      local done, touched = 0, 0
      for _, path in ipairs(paths) do
        if is_done(path) then done = done + 1 end
        local copy = copy_of(path, ctx)
        if fs.exists(copy) or fs.exists(copy .. ".absent") then touched = touched + 1 end
      end
      return done == #paths and "done" or touched == 0 and done == 0 and "absent" or "partial"
    end,
  }
end

def "files" { doc = "An action: puts files in the place of others. Owner and mode of a target that exists stay.",
  { "files", "table", "[target] = source; `dir` is where the targets are" }, returns = { "action", "for a step" }, raises = { "argument" },
  example = [[local settings = config.files { dir = "/srv/app/", ["config/database.yml"] = "deploy/database.yml" }]],
  run = function(options)
    local dir, sources, paths = options.dir or "", {}, {}
    if type(dir) ~= "string" then arguments.fail("config.files", 1, "files", "'dir': string expected, got " .. type(dir)) end
    if dir ~= "" and not dir:find "/$" then dir = dir .. "/" end
    for _, target in ipairs(keys(options)) do
      if target ~= "dir" then
        if type(options[target]) ~= "string" then
          arguments.fail("config.files", 1, "files", ("'%s': the file to put there expected, got %s"):format(target, type(options[target])))
        end
        paths[#paths + 1] = dir .. target
        sources[dir .. target] = options[target]
      end
    end
    if #paths == 0 then arguments.fail("config.files", 1, "files", "no file is named: { dir = …, [\"config/app.yml\"] = \"deploy/app.yml\" }") end
    return changing(paths, function(path) fs.write(path, fs.read(sources[path])) end,
      function(path) return fs.exists(path) and fs.sha256(path) == fs.sha256(sources[path]) end)
  end }

local function edited(text, values, line_of)
  local seen, out = {}, {}
  for line, ending in (text .. (text:find "[^\n]$" and "\n" or "")):gmatch "([^\n]*)(\n)" do
    local name = line:match "^%s*([%w_.-]+)%s*=" or line:match "^%s*export%s+([%w_]+)%s*="
    if name and values[name] ~= nil then
      line = not seen[name] and ((line:match "^%s*export%s+" or "") .. line_of(name, values[name])) or nil
      seen[name] = true
    end
    if line then out[#out + 1] = line .. ending end
  end
  for _, name in ipairs(keys(values)) do
    if not seen[name] then out[#out + 1] = line_of(name, values[name]) .. "\n" end
  end
  return table.concat(out)
end

def "values" {
  doc = "An action: sets values in a file of lines NAME=value (.env, EnvironmentFile, ini without sections). Lines of these names are replaced in place, others stay, new names go to the end.",
  { "path", "text", "the file" }, { "values", "table", "name = text, number or boolean" }, returns = { "action", "for a step" }, raises = { "argument" },
  example = [[local limits = config.values("/etc/app.env", { POOL = 20 })]],
  run = function(path, values)
    if next(values) == nil then arguments.fail("config.values", 2, "values", "table of name = value expected") end
    for name, value in pairs(values) do
      local kind = type(value)
      if type(name) ~= "string" or not name:find "^[%w_.-]+$" then arguments.fail("config.values", 2, "values", ("'%s' is no name of a setting"):format(tostring(name))) end
      if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        arguments.fail("config.values", 2, "values", ("'%s': text, number or boolean expected, got %s"):format(name, kind))
      end
      if kind == "string" and value:find "[\r\n]" then arguments.fail("config.values", 2, "values", ("'%s': a line end has no place in a value"):format(name)) end
    end
    local function now() return fs.exists(path) and fs.read(path) or "" end
    local function new() return edited(now(), values, function(name, value) return name .. "=" .. tostring(value) end) end
    return changing({ path }, function() fs.write(path, new()) end, function() return fs.exists(path) and new() == now() end)
  end }

def "edit" { doc = "An action: changes a text file with a function.", { "path", "text", "the file" }, { "fn", "function", "text → new text" },
  returns = { "action", "for a step" }, raises = { "argument" }, example = [[local hosts = config.edit("/etc/app.conf", function(text) return (text:gsub("old", "new")) end)]],
  run = function(path, fn)
    return changing({ path }, function()
      local text = fn(fs.read(path))
      if type(text) ~= "string" then error { kind = "argument", message = "config.edit: the function must return the new text, got " .. type(text) } end
      fs.write(path, text)
    end, function() return fn(fs.read(path)) == fs.read(path) end)
  end }

def "environment" {
  doc = "An action: the environment of a systemd unit, as a drop-in file of its own, for its owner alone. systemd reads its units again after it, and after it is put back; the unit sees it with its next start.",
  { "unit", "word", "as systemctl status takes it" }, { "values", "table", "name = text, number or secret" },
  { "options", { dir = { "text", "where units have their drop-ins", default = "/etc/systemd/system" }, file = { "text", "name of the file", default = "runbook.conf" },
    sudo = { "boolean", "for systemctl daemon-reload", default = true } }, "where" },
  returns = { "action", "for a step" }, raises = { "argument" }, example = [[local settings = config.environment("app", { DB_HOST = "db2" })]],
  run = function(unit, values, o)
    if next(values) == nil then arguments.fail("config.environment", 2, "values", "table of name = value expected") end
    local folder = ("%s/%s.d"):format(o.dir, unit:find "%." and unit or unit .. ".service")
    local path = folder .. "/" .. o.file
    -- Where a secret is filled in, the whole text is one: it is never plain text in Lua.
    local function text()
      local lines, filled = { "# Written by runbook.", "[Service]" }, {}
      for i, name in ipairs(keys(values)) do
        if not name:find "^[%a_][%w_]*$" then arguments.fail("config.environment", 2, "values", ("'%s' is no name of a variable"):format(name)) end
        filled["v" .. i] = values[name]
        lines[#lines + 1] = ('Environment="%s={v%d}"'):format(name, i)
      end
      return template.render(table.concat(lines, "\n") .. "\n", filled, { escape = "systemd" })
    end
    local function reload()
      sh.run(o.sudo and { "sudo", "-n", "systemctl", "daemon-reload" } or { "systemctl", "daemon-reload" })
    end
    local inner = changing({ path }, function()
      fs.remove(path) -- a file that is replaced keeps its mode, and this one may hold secrets
      fs.write(path, text())
      fs.chmod(path, "0600")
    end, function() return fs.exists(path) and crypto.equal(fs.read(path), text()) end)
    return action {
      run = function(ctx) fs.mkdir(folder); inner.run(ctx); reload() end,
      undo = function(ctx) inner.undo(ctx); reload() end,
      observe = inner.observe,
    }
  end }

return M

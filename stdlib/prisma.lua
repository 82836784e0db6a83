-- Prisma's migrations, through its own program (npx prisma).
--   local prisma = require "prisma"
--   step "migrate" { run = function() return prisma.deploy(p.prod, { schema = p.schema }) end,
--     observe = function() return prisma.state(p.prod, p.schema) end, undo = … }
-- The address of the database reaches prisma in its environment (DATABASE_URL, or `variable`), never on the command line.
local arguments, declare = require "arguments", require "declare"
local M, def = declare.module("prisma", "Prisma's migrations, through its own program.", 'needs = { shell = { "npx prisma" }, files = { the folder of the schema } }')
local connection_of = { "connection", "connection", "PostgreSQL, MySQL or MariaDB" }
local schema_parameter = { "schema", "text", "a file schema.prisma" }

local function schema_of(who, number, schema)
  if not schema:find "%.prisma$" then arguments.fail(who, number, "schema", ("a file schema.prisma expected, got '%s'"):format(schema)) end
  return schema
end

local function encoded(text)
  return (tostring(text):gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- The connection as a URL that prisma understands; a secret where there is a password.
local function url_of(connection, o)
  local scheme = connection.engine
  local url = ("%s://%s{password}@%s:%d/%s"):format(scheme, encoded(connection.user), connection.host, connection.port, encoded(connection.name))
  local query = {}
  if o.lock_timeout and connection.engine == "postgresql" then
    query[#query + 1] = "options=" .. encoded(("-c lock_timeout=%d"):format(o.lock_timeout * 1000))
  end
  for name, value in pairs(o.url or {}) do query[#query + 1] = encoded(name) .. "=" .. encoded(value) end
  table.sort(query)
  if #query > 0 then url = url .. "?" .. table.concat(query, "&") end
  if connection.password == nil then return (url:gsub("{password}", "")) end
  return template.render(url:gsub("{password}", ":{password}"), { password = connection.password }, { escape = "url" })
end

local function prisma(who, connection, o, words, more)
  local engine = connection.engine
  if engine ~= "postgresql" and engine ~= "mysql" then
    arguments.fail(who, 1, "connection", ("PostgreSQL, MySQL or MariaDB expected, got %s"):format(tostring(engine)))
  end
  local command = { "npx", "prisma" }
  for _, word in ipairs(words) do command[#command + 1] = word end
  command.env = { [o.variable or "DATABASE_URL"] = url_of(connection, o), PRISMA_HIDE_UPDATE_MESSAGE = "1", NO_COLOR = "1" }
  for name, value in pairs(more or {}) do command[name] = value end
  return sh.run(command)
end

-- The options of a command that prisma is run with.
local function options_with(more)
  more.schema = { "text", "a file schema.prisma", required = true }
  more.variable = { "word", "where the schema expects the address", default = "DATABASE_URL" }
  more.lock_timeout = { "duration", "PostgreSQL: how long a statement may wait for a lock" }
  more.url = { "table", "further parameters of the address, name = value" }
  return { "options", more, "what, and how" }
end
local errors = { "shell.exit", "shell.not_found", "shell.timeout", "db.connection", "db.auth", "db.permission", "db.error", "fs", "permission", "argument" }

-- Names of the migrations in the folder beside the schema, in their order.
local function on_disk(schema)
  local found = {}
  for _, name in ipairs(fs.list((schema:match "^(.*/)" or "./") .. "migrations")) do
    if name:find "/$" then found[#found + 1] = name:sub(1, -2) end
  end
  return found
end

-- What the database says: name → "done", "failed" or "rolled back"; empty where prisma never ran.
local function applied(connection)
  local found = {}
  local there = false
  for _, name in ipairs(db.tables(connection)) do
    there = there or name == "_prisma_migrations" or name == "public._prisma_migrations"
  end
  if not there then return found end
  local order = "select migration_name, finished_at, rolled_back_at from _prisma_migrations order by started_at"
  for _, row in ipairs(db.query(connection, order)) do
    local done = row.finished_at ~= nil and row.finished_at ~= null
    local back = row.rolled_back_at ~= nil and row.rolled_back_at ~= null
    found[row.migration_name] = back and "rolled back" or done and "done" or "failed"
  end
  return found
end

def "deploy" { doc = "Applies the migrations that are pending.", connection_of, options_with {}, returns = { "table", "{applied}: names" }, raises = errors, writes = true,
  example = [[local done = prisma.deploy(p.prod, { schema = "prisma/schema.prisma", lock_timeout = "30s" })]],
  run = function(connection, o)
    schema_of("prisma.deploy", 2, o.schema)
    local before = applied(connection)
    local done = prisma("prisma.deploy", connection, o, { "migrate", "deploy", "--schema", o.schema })
    if arguments.unknown(done) then return done end
    local new, names = json.array {}, {}
    for name, state in pairs(applied(connection)) do
      if state == "done" and before[name] ~= "done" then names[#names + 1] = name end
    end
    table.sort(names)
    for i, name in ipairs(names) do new[i] = name end
    return { applied = new }
  end }

def "state" { doc = "For `observe` and checkpoints: whether every migration of the folder is finished and none rolled back.", connection_of, schema_parameter,
  returns = { "string", '"done"; "absent" where at least one was not begun and none has failed; "partial" where one began and did not finish' }, raises = errors, reads = true,
  example = [[local state = prisma.state(p.prod, "prisma/schema.prisma")]],
  run = function(connection, schema)
    schema_of("prisma.state", 2, schema)
    local now, missing = applied(connection), false
    for _, state in pairs(now) do
      if state == "failed" then return "partial" end
    end
    for _, name in ipairs(on_disk(schema)) do missing = missing or now[name] ~= "done" end
    return missing and "absent" or "done"
  end }

def "status" { doc = "How the folder and the database differ.", connection_of, schema_parameter,
  returns = { "table", "{pending, failed, unknown}: names in the folder and not in the database, begun and not finished, in the database and not in the folder" }, raises = errors, reads = true,
  example = [[local pending = prisma.status(p.prod, "prisma/schema.prisma").pending]],
  run = function(connection, schema)
    schema_of("prisma.status", 2, schema)
    local now, result, local_names = applied(connection), { pending = json.array {}, failed = json.array {}, unknown = json.array {} }, {}
    for _, name in ipairs(on_disk(schema)) do
      local_names[name] = true
      if now[name] == "failed" then result.failed[#result.failed + 1] = name
      elseif now[name] ~= "done" then result.pending[#result.pending + 1] = name end
    end
    local others = {}
    for name in pairs(now) do
      if not local_names[name] then others[#others + 1] = name end
    end
    table.sort(others)
    for i, name in ipairs(others) do result.unknown[i] = name end
    return result
  end }

def "drift" { doc = "The differences between the database and the schema.", connection_of, schema_parameter,
  returns = { "string[]", "one statement of SQL an entry; empty where there are none" }, raises = errors, reads = true,
  example = [[local drift = prisma.drift(p.prod, "prisma/schema.prisma")]],
  run = function(connection, schema)
    local o = { schema = schema_of("prisma.drift", 2, schema) }
    local found = prisma("prisma.drift", connection, o, { "migrate", "diff", "--from-schema-datasource", schema, "--to-schema-datamodel", schema,
      "--script", "--exit-code" }, { reads = true, exit = { 0, 2 } })
    local statements = json.array {}
    if found.exit == 0 then return statements end
    for statement in (found.out .. "\n"):gsub("%-%-[^\n]*\n", "\n"):gmatch "%s*([^;]+);" do statements[#statements + 1] = (statement:gsub("%s+", " ")) end
    if #statements == 0 then statements[1] = "prisma reports a difference without a statement" end
    return statements
  end }

def "resolve" { doc = "Tells prisma what became of a migration that failed.", connection_of,
  options_with { applied = { "word", "name of one that is there after all" }, rolled_back = { "word", "name of one that is not there" } }, raises = errors, writes = true,
  example = [[prisma.resolve(p.prod, { schema = "prisma/schema.prisma", rolled_back = "20260101_orders" })]],
  run = function(connection, o)
    schema_of("prisma.resolve", 2, o.schema)
    if (o.applied == nil) == (o.rolled_back == nil) then arguments.fail("prisma.resolve", 2, "options", "one of 'applied' and 'rolled_back' expected") end
    prisma("prisma.resolve", connection, o, { "migrate", "resolve", o.applied and "--applied" or "--rolled-back", o.applied or o.rolled_back, "--schema", o.schema })
  end }

return M

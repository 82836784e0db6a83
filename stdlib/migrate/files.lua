-- A folder of migrations: 009_add_orders.sql, and beside it 009_add_orders.down.sql (the way back) and 009_add_orders.contract.sql (what is dropped later).
-- Part of `migrate`.
local statements = require "migrate.statements"
local M = {}

local function fail(kind, message, hint) error { kind = kind, message = message, hint = hint } end

-- Line ends of another system are no change.
local function read(path) return (fs.read(path):gsub("\r\n", "\n")) end
function M.checksum(text) return crypto.sha256(text) end

-- What a file says: its statements, whether it is one transaction, its risk.
local function understand(one, path, text, mysql)
  local list = statements.split(text, mysql)
  if #list == 0 then fail("migrate.file", ("%s has no statement"):format(path), "remove it, or write what it should do") end
  local apart = text:find "^%s*%-%-%s*runbook:%s*no%-transaction" ~= nil
  one.statements, one.risk, one.transaction = #list, "low", not apart and not mysql
  for _, statement in ipairs(list) do
    local control = statements.controls(statement.words)
    if control then
      fail("migrate.file", ("%s:%d: %s has no place in a migration: it is one transaction already"):format(path, statement.line, control:upper()),
        "where a statement cannot be in a transaction, the first line says so: -- runbook: no-transaction")
    end
    if statements.outside(statement.words) and one.transaction then
      if #list > 1 then
        fail("migrate.file", ("%s:%d: this statement cannot be in a transaction, and stands beside others"):format(path, statement.line),
          "give it a migration of its own, or begin the file with -- runbook: no-transaction: each statement then counts for itself")
      end
      one.transaction = false
    end
    local risk, why = statements.risk(statement.words)
    local severity = statements.severity
    if severity[risk] > severity[one.risk] then one.risk, one.why = risk, ("line %d %s"):format(statement.line, why) end
  end
end

local function name_of(file)
  local version, name, kind = file:match "^(%d+)[_-]([%w_-]+)%.?(%a*)%.sql$"
  if not version or not ({ [""] = 1, down = 1, contract = 1 })[kind] then return nil end
  return tonumber(version), name, kind == "" and "up" or kind
end

-- The migrations of a folder, by version and in their order. Raises for what cannot be one folder of migrations.
function M.folder(folder, mysql)
  if not folder:find "/$" then folder = folder .. "/" end
  local by, list, beside = {}, {}, {}
  for _, file in ipairs(fs.list(folder)) do
    if file:find "%.sql$" then
      local version, name, kind = name_of(file)
      if not version then
        fail("migrate.file", ("%s%s: a name such as 009_add_orders.sql, 009_add_orders.down.sql or 009_add_orders.contract.sql expected"):format(folder, file), "rename it")
      end
      if kind ~= "up" then beside[#beside + 1] = { version = version, name = name, kind = kind, file = file }
      elseif by[version] then
        local free = 0
        for other in pairs(by) do free = math.max(free, other) end
        fail("migrate.duplicate", ("two migrations have the version %d: %s and %s"):format(version, by[version].file, file),
          ("rename the one that ran nowhere; %d is free"):format(math.max(free, version) + 1))
      else
        local text = read(folder .. file)
        local one = { version = version, name = name, file = file, checksum = M.checksum(text) }
        understand(one, folder .. file, text, mysql)
        by[version], list[#list + 1] = one, one
      end
    end
  end
  table.sort(list, function(a, b) return a.version < b.version end)
  for _, other in ipairs(beside) do
    local one = by[other.version]
    if not one or one.name ~= other.name then
      fail("migrate.file", ("%s%s belongs to no migration: %s is not there"):format(folder, other.file, (other.file:gsub("%.%a+%.sql$", ".sql"))), "rename it, or remove it")
    end
    one[other.kind] = read(folder .. other.file)
  end
  return by, list, folder
end

-- The text of a migration as it was planned.
function M.text(folder, one)
  local text = read(folder .. one.file)
  if M.checksum(text) ~= one.checksum then
    fail("migrate.changed", ("%s%s was changed after it was planned"):format(folder, one.file), "plan again: what people approved is not what stands there now")
  end
  return text
end

return M

---@meta prisma
-- Generated from the declarations in stdlib/.

---Prisma's migrations, through its own program. In a playbook: `local prisma = require "prisma"`, and `needs = { shell = { "npx prisma" }, files = { the folder of the schema } }`.
---@class prismalib
local prisma = {}

---@class prisma.deploy.options
---@field lock_timeout? string|number PostgreSQL: how long a statement may wait for a lock
---@field schema string a file schema.prisma
---@field url? table further parameters of the address, name = value
---@field variable? string where the schema expects the address (DATABASE_URL)

---Applies the migrations that are pending.
---@param connection connection PostgreSQL, MySQL or MariaDB
---@param options prisma.deploy.options what, and how
---@return table {applied}: names
function prisma.deploy(connection, options) end

---For `observe` and checkpoints: whether every migration of the folder is finished and none rolled back.
---@param connection connection PostgreSQL, MySQL or MariaDB
---@param schema string a file schema.prisma
---@return string "done"; "absent" where at least one was not begun and none has failed; "partial" where one began and did not finish
function prisma.state(connection, schema) end

---How the folder and the database differ.
---@param connection connection PostgreSQL, MySQL or MariaDB
---@param schema string a file schema.prisma
---@return table {pending, failed, unknown}: names in the folder and not in the database, begun and not finished, in the database and not in the folder
function prisma.status(connection, schema) end

---The differences between the database and the schema.
---@param connection connection PostgreSQL, MySQL or MariaDB
---@param schema string a file schema.prisma
---@return string[] one statement of SQL an entry; empty where there are none
function prisma.drift(connection, schema) end

---@class prisma.resolve.options
---@field applied? string name of one that is there after all
---@field lock_timeout? string|number PostgreSQL: how long a statement may wait for a lock
---@field rolled_back? string name of one that is not there
---@field schema string a file schema.prisma
---@field url? table further parameters of the address, name = value
---@field variable? string where the schema expects the address (DATABASE_URL)

---Tells prisma what became of a migration that failed.
---@param connection connection PostgreSQL, MySQL or MariaDB
---@param options prisma.resolve.options what, and how
function prisma.resolve(connection, options) end

return prisma

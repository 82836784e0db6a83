-- The database that ctx.transaction keeps its markers in, for as long as a test lasts: committed ones survive a crash of the run,
-- others do not. Only what runtime/engine/run/transaction.lua asks of it.
local test = ...
local host = test.host
local M = {}

local committed, staged, fence = {}, {}, 0
local stand_in = {}
function stand_in.begin() staged = {} end
function stand_in.commit()
  for key, text in pairs(staged) do committed[key] = { result = text } end
  staged = {}
end
function stand_in.rollback() staged = {} end
stand_in.abandon, stand_in.close = stand_in.rollback, stand_in.rollback
function stand_in.one(_, _, key) return committed[key] end
function stand_in.value(_, sql, ...)
  if sql:find("select fence", 1, true) then return fence end
  return 0
end
function stand_in.execute(_, sql, key, token, text)
  if sql:find("result) values", 1, true) then staged[key] = text or ""
  elseif token then fence = math.max(fence, token) end
end

function M.prepare(run_host)
  staged = {}
  run_host.database = setmetatable(stand_in, { __index = function(_, name) host.raise("internal", "a test's markers have no " .. tostring(name)) end })
end

return M

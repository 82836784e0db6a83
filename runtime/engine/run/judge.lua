-- Checkpoints: whether one passed, and what follows where it did not. Cannot fail open: only `true` passes; an error, nil,
-- NaN or a table without a matching row gives the severest verdict there is in it.
local engine = ...
local host, verdict_of = engine.host, engine.program.words
local M = {}

local function severest(rows)
  local worst
  for _, row in ipairs(rows or {}) do
    if not worst or row[1].severity > worst.severity then worst = row[1] end
  end
  local otherwise = rows and rows.otherwise
  if otherwise and (not worst or otherwise.severity > worst.severity) then worst = otherwise end
  if worst and worst.severity < verdict_of.repair(function() end).severity then worst = nil end -- saying it, or waiting, would let it pass
  return worst or verdict_of.rollback("the checkpoint did not pass")
end

-- The verdict of the decision table for `result`; `problem` is the error that kept it from being judged.
function M.decide(rows, result, problem)
  if problem or not rows then return severest(rows) end
  local strictest
  for _, row in ipairs(rows) do
    local ok, hit = host.try(row.when, result)
    if not ok or (hit ~= true and hit ~= false) then return severest(rows) end
    if hit and (not strictest or row[1].severity > strictest.severity) then strictest = row[1] end
  end
  return strictest or rows.otherwise or severest(rows)
end

-- Looks once. Returns passed, result, problem (an error table).
function M.look(run, pass, ctx)
  local ok, result = host.try(run, ctx)
  if not ok then return false, nil, result end
  local stored
  ok, stored = host.try(host.store, result)
  if not ok then return false, nil, stored end
  local passed
  ok, passed = host.try(pass, stored)
  if not ok then return false, stored, passed end
  return passed == true, stored, nil
end

M.severest = severest
return M

-- Credentials that Vault lent to this run. The name of each lease is journaled, so that whoever continues a run whose process
-- was killed ends them: the process itself does so whenever it ends in another way. Loop thread.
local engine = ...
local host, journal = engine.host, engine.common.journal
local M = {}

-- Journals what host.taken_leases() gave.
function M.record(taken)
  for _, one in ipairs(taken) do journal("secret.leased", nil, { lease = one.lease, path = one.path }) end
end

-- Ends what the processes of this run before left: those that were held or finished had ended theirs.
function M.settle(history)
  local left = {}
  for _, event in ipairs(history) do
    local name = event.event
    if name == "secret.leased" then
      left[#left + 1] = event.data.lease
    elseif name == "run.held" or name == "run.finished" then
      left = {}
    elseif name == "secret.revoked" then
      local gone, open = {}, {}
      for _, lease in ipairs(event.data.leases) do gone[lease] = true end
      for _, lease in ipairs(left) do
        if not gone[lease] then open[#open + 1] = lease end
      end
      left = open
    end
  end
  if #left == 0 then return end
  local failed, problems = {}, host.revoke_leases(left)
  for _, one in ipairs(problems) do
    failed[one.lease] = true
    host.emit("log", { level = "warn", text = ("vault: a lease of the process that died was not revoked: %s (%s); it ends by itself"):format(one.lease, one.problem) })
  end
  local revoked = {}
  for _, lease in ipairs(left) do
    if not failed[lease] then revoked[#revoked + 1] = lease end
  end
  if #revoked == 0 then return end
  journal("secret.revoked", nil, { leases = revoked, why = ("Vault: %d of %d leases of a process that died"):format(#revoked, #left) })
end

return M

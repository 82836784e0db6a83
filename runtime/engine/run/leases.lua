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
  local open = {}
  for _, event in ipairs(history) do
    if event.event == "secret.leased" then
      open[event.data.lease] = true
    elseif event.event == "secret.revoked" then
      for _, lease in ipairs(event.data.leases) do open[lease] = nil end
    elseif event.event == "run.held" or event.event == "run.finished" then
      open = {}
    end
  end
  local left = {}
  for _, event in ipairs(history) do -- in their order
    if event.event == "secret.leased" and open[event.data.lease] then left[#left + 1] = event.data.lease end
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

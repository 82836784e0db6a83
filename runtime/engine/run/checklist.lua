-- A checklist of the run: probes by the machine, confirmations by people; all must hold.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

function M.perform(item)
  local started = host.monotonic()
  journal("step.started", item, { kind = "checklist", attempt = 1, owner = item.t.owner })
  local results, bad = {}, {}
  for i, entry in ipairs(item.t) do
    common.allow_reads(item)
    local passed, note
    if entry.__class == "probe" then
      local ok, value = host.try(entry.fn)
      passed = ok and value == true
      note = not ok and value.message or nil
    else
      local name = item.name .. ": " .. entry.text
      journal("gate.opened", item, { ask = entry.text, role = entry.role, kind = "confirm" })
      local answer, by, via = engine.people.ask(name, { prompt = entry.text .. " - confirm? [y/n] ", choices = { { "y", "approve" }, { "n", "reject" }, yes_no = true } })
      if answer == "detached" then return { verdict = "hold", why = ("waiting for %s"):format(name), item = item } end
      passed = answer == "approve"
      journal("gate.answered", item, { answer = answer, by = by, via = via, item = entry.text })
    end
    results[i] = { text = entry.text, passed = passed, note = note }
    if not passed then bad[#bad + 1] = entry.text .. (note and " (" .. note .. ")" or "") end
  end
  item.result, item.elapsed = host.store { items = results, failed = #bad }, host.monotonic() - started
  item.status = #bad == 0 and "finished" or "failed"
  local why = #bad > 0 and ("%s: %s"):format(label("checklist", item.name), table.concat(bad, "; ")) or nil
  journal("checkpoint.judged", item, { passed = #bad == 0, kind = "checklist", elapsed_s = item.elapsed, result = item.result,
    verdict = why and "rollback" or nil, why = why, detail = ("%d of %d"):format(#results - #bad, #results) })
  if why then return { verdict = "rollback", why = why, item = item } end
end

return M

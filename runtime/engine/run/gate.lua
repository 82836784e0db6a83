-- A gate of the run: people decide, before a deadline that a resume does not move.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

local function open(item, who, otherwise, question)
  local floor, header = engine.people.read(), program.header().t
  local now = host.now()
  item.open = { at = now, floor = floor, answers = {} }
  local role, title = table.concat(who.roles, who.all and " and " or " or "), nil
  if #who.roles == 1 and header.roles then title = header.roles[who.roles[1]] end
  journal("gate.opened", item, { ask = question, role = role, title = title, deadline = who.within_s and host.iso(now + who.within_s), otherwise = otherwise.verdict,
    kind = "gate", who = who, at = now, floor = floor })
end

-- Moves the deadline of the question where the resume says so: once, and recorded.
function M.extend(item, state)
  local extend = host.given().extend
  if extend <= 0 or M.extended then return end
  M.extended = true
  state.extended = host.now() + extend
  journal("gate.extended", item, { deadline = host.iso(state.extended), by = host.user() })
end

function M.perform(item)
  local t = item.t
  common.allow_reads(item)
  local question = t.ask
  if type(question) == "function" then
    local ok, text = host.try(question)
    if not ok then return { verdict = "rollback", why = label("gate", item.name) .. ": its question failed: " .. text.message, item = item, problem = text } end
    question = text
  end
  local who, otherwise = program.asked.gate(item), program.asked.otherwise(t.otherwise)
  local again = item.open ~= nil
  if again then M.extend(item, item.open) else open(item, who, otherwise, question) end
  local q = { subject = item.name, label = label("gate", item.name), item = item, who = who, opened = item.open.at, floor = item.open.floor, ahead = t.at ~= nil,
    extended = item.open.extended, answers = item.open.answers, level = item.open.level, verbs = { approve = "approve", reject = "reject" },
    prompt = (again and tostring(question) .. "\n" or "") .. "approve? [y/n] " }
  if engine.people.wait { q } == "detached" then return { verdict = "hold", why = ("waiting at %s"):format(label("gate", item.name)), item = item } end
  local outcome = q.outcome
  if outcome.answer == "expired" then
    journal("gate.expired", item, { otherwise = otherwise.verdict })
    return { verdict = otherwise.verdict, way = otherwise.way, roles = otherwise.roles, item = item,
      why = ("%s: nobody answered in time%s"):format(label("gate", item.name), otherwise.why and ": " .. otherwise.why or "") }
  end
  item.result, item.open = outcome, nil
  journal("gate.answered", item, outcome)
  if outcome.answer == "reject" then
    return { verdict = "rollback", item = item, why = ("%s was declined by %s%s"):format(label("gate", item.name), outcome.by, outcome.why and ": " .. outcome.why or "") }
  end
  item.status = "finished"
end

return M

-- What people have agreed to, taken back from the journal: open questions with their deadlines, answers that count, waivers.
-- Rule 10: an answer to another plan does not count, so the gate is asked again before anything else runs.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

local voided = {}

-- Whether the answer was given to the plan that runs now; remembers where it was not.
local function counts(item, data)
  if not data.plan or data.plan == host.plan_hash() then return true end
  voided[item.name] = true
  return false
end

local function opened(item, data)
  local at = data.at or data.deadline and host.parse_time(data.deadline) or host.now()
  if data.kind == "gate" then item.open = { at = at, floor = data.floor or 0, answers = {}, level = 0 }
  elseif data.kind == "confirm" then
    local state = engine.checklist.state(item, data.item or data.ask)
    state.at, state.floor, state.outcome = at, data.floor or 0, nil
    item.open = item.open or { at = at }
  end
end

local function answered(item, data)
  if item.kind == "gate" then
    item.open = nil -- met again (redo, another plan), it is asked anew
    if data.answer == "approve" and counts(item, data) then item.result, item.status = data, "finished" end
  elseif item.kind == "checklist" and data.item then
    local state = engine.checklist.state(item, data.item)
    if not counts(item, data) then
      state.at, state.answers = nil, {}
      return
    end
    state.outcome = data
    if data.answer == "approve" then state.answers = data.people or { data } end
  end
end

-- Folds one event of the journal. `item` may be nil.
function M.restore(kind, item, data)
  if data.request then engine.people.used(data.request) end
  for _, one in ipairs(data.people or {}) do
    if one.request then engine.people.used(one.request) end
  end
  if kind == "run.started" or kind == "plan.changed" then
    local who = engine.people.initiators
    who[#who + 1] = data.initiator or data.by
  end
  if not item then return end
  if kind == "gate.opened" then opened(item, data)
  elseif kind == "gate.answered" then answered(item, data)
  elseif kind == "gate.escalated" and item.kind == "gate" and item.open then item.open.level = data.level
  elseif kind == "gate.extended" and item.open then item.open.extended = host.parse_time(data.deadline)
  elseif kind == "approval.given" and counts(item, data) then
    local answers = item.kind == "checklist" and engine.checklist.state(item, data.item).answers or item.open and item.open.answers
    if answers then answers[#answers + 1] = data end
  elseif kind == "confirmation.expired" then
    local state = engine.checklist.state(item, data.item)
    state.outcome, state.at, state.answers = nil, nil, {}
  elseif kind == "gate.expired" and item.kind == "checklist" then
    item.expired = true
  elseif kind == "checkpoint.judged" and item.kind == "checklist" and not item.expired then
    item.open = nil -- judged in time: the next round has a deadline of its own
    if data.passed then item.entries = nil end
  elseif kind == "item.waived" and counts(item, data) then engine.checklist.state(item, data.item).waived = data
  elseif kind == "decision.asked" then item.decision = { at = data.at or host.now(), floor = data.floor or 0 }
  elseif kind == "decision.answered" then
    item.decision = nil
    -- decided, and the process ended before it began to go back: a resume must not go forward
    M.back = data.answer == "rollback" and { item = item, why = ("decided by %s"):format(data.by or "nobody in time") } or nil
    if data.answer == "go_on" and not data.again then item.passed_over = true end
  end
end

-- After the whole journal: a checklist that was done, but whose confirmations were given to another plan, is asked again. Its
-- probes are not: they looked at a world that the run has changed since.
function M.settle(track)
  local names = {}
  for _, item in ipairs(track) do
    if voided[item.name] then
      names[#names + 1] = item.name
      if item.kind == "checklist" and item.status == "finished" then
        item.status, item.reconfirm, item.open = "waiting", {}, nil
        for _, entry in ipairs((item.result or {}).items or {}) do item.reconfirm[entry.text] = { passed = entry.passed } end
      end
    end
  end
  return names
end

-- Once the run has begun: says in the journal what no longer counts.
function M.record(names)
  if #names > 0 then common.journal("approvals.voided", nil, { items = names, why = "the plan has changed" }) end
end

return M

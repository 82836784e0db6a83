-- A checklist of the run: probes by the machine, confirmations by people; all must hold. With a due date its items may be
-- confirmed days ahead; what is older than `valid` when the run gets there is asked again, and probes are looked at again then.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

-- What is known of one entry: {at, floor, answers, outcome, waived}.
function M.state(item, text)
  item.entries = item.entries or {}
  item.entries[text] = item.entries[text] or { answers = {} }
  return item.entries[text]
end

local function entry_label(item, text) return ('"%s" of %s'):format(text, label("checklist", item.name)) end

-- Takes a request to waive an entry: recorded with its reason, or refused.
function M.waive(q, request)
  local data = request.data
  local answered = {}
  for _, answer in ipairs(q.answers or {}) do answered[#answered + 1] = answer.by end
  local why
  if data.plan and data.plan ~= host.plan_hash() then why = ("%s: it was waived for another plan"):format(q.label)
  elseif not (data.why and data.why:match "%S") then why = ("%s: a reason is required to waive it"):format(q.label) end
  local right = not why and host.right_to_waive(q.who, { by = request.by, as = data.as, answered = answered, what = q.label })
  why = why or right.refusal
  if why then
    journal("answer.refused", q.item, { answer = "waive", by = request.by, via = "another terminal", why = why, request = request.id, item = q.entry })
    return
  end
  local waived = { by = request.by, via = "another terminal", why = data.why, from = data.from, roles = right.roles, checked = right.checked, item = q.entry,
    given_at = host.iso(request.at), plan = host.plan_hash(), request = request.id }
  journal("item.waived", q.item, waived)
  M.state(q.item, q.entry).waived = waived
  q.outcome = { answer = "waive", by = request.by }
end

-- Confirmations older than `valid` no longer count: they are asked again, and the journal says so.
local function drop_stale(item, entry, state, valid)
  if not valid then return end
  local fresh = {}
  for _, answer in ipairs(state.answers) do
    local given = host.parse_time(answer.given_at)
    if given and host.now() - given <= valid then fresh[#fresh + 1] = answer else
      journal("confirmation.expired", item, { item = entry.text, by = answer.by, given_at = answer.given_at, valid_s = valid })
      state.outcome, state.at = nil, nil
    end
  end
  state.answers = fresh
end

-- The question for one confirmation that has no answer yet, asked where it was not.
local function question(item, entry, who, opened, floor)
  local t, header, state = item.t, program.header().t, M.state(item, entry.text)
  if not state.at then
    state.at, state.floor = opened, floor
    local role = table.concat(who.roles, " or ")
    journal("gate.opened", item, { ask = entry.text, item = entry.text, role = role, title = #who.roles == 1 and header.roles and header.roles[role] or nil,
      deadline = who.within_s and host.iso(opened + who.within_s), otherwise = who.within_s and program.asked.otherwise(t.otherwise).verdict or nil,
      kind = "confirm", who = who, at = opened, floor = floor, evidence = who.evidence, through = type(t.through) == "string" and t.through or nil })
  end
  local hint = who.evidence and (" [y %s/n] "):format(who.evidence:upper()) or " [y/n] "
  return { subject = program.asked.subject(item, entry), label = entry_label(item, entry.text), item = item, entry = entry.text, who = who,
    opened = state.at, floor = state.floor or 0, ahead = t.due ~= nil, extended = item.open and item.open.extended, answers = state.answers,
    valid = common.seconds(t.valid), verbs = { approve = "approve", confirm = "approve", reject = "reject", waive = "waive" },
    prompt = entry.text .. (type(t.through) == "string" and (" (through %s)"):format(t.through) or "") .. " - confirm?" .. hint }
end

-- The confirmations of a list that are not there yet, whoever runs the run.
function M.unanswered(item)
  local open = {}
  for _, entry in ipairs(item.t) do
    local state = M.state(item, entry.text)
    if entry.__class == "confirm" and not state.waived and not (state.outcome and state.outcome.answer == "approve") then
      local q = { subject = program.asked.subject(item, entry), label = entry_label(item, entry.text), item = item, entry = entry.text,
        who = program.asked.entry(item, entry), opened = state.at or host.now(), answers = state.answers, valid = common.seconds(item.t.valid),
        verbs = { approve = "approve", confirm = "approve", reject = "reject", waive = "waive" } }
      if not engine.people.enough(q) then open[#open + 1] = entry end
    end
  end
  return open
end

-- Runs the probes; waived ones are not looked at. Returns text → {passed, note}.
local function probe(item)
  local seen = {}
  for _, entry in ipairs(item.t) do
    if entry.__class == "probe" then
      local state = M.state(item, entry.text)
      local subject = program.asked.subject(item, entry)
      for _, request in ipairs(engine.people.requests(subject, 0)) do
        if request.verb == "waive" and not state.waived then
          engine.people.used(request.id)
          M.waive({ subject = subject, label = entry_label(item, entry.text), item = item, entry = entry.text, who = program.asked.entry(item, entry) }, request)
        end
      end
      if not state.waived then
        common.allow_reads(item)
        local ok, value = host.try(entry.fn)
        if host.interrupted() then host.raise("cancelled", "interrupted") end
        seen[entry.text] = { passed = ok and value == true, note = not ok and value.message or nil }
      end
    end
  end
  return seen
end

-- Asks what is not answered. Returns "detached", "expired", or nil; and whether anybody was waited for.
local function ask(item)
  local floor, opened = engine.people.read(), item.open and item.open.at or host.now()
  local resumed = item.open ~= nil
  item.open = item.open or { at = opened }
  if resumed then engine.gate.extend(item, item.open) end
  local questions = {}
  for _, entry in ipairs(item.t) do
    if entry.__class == "confirm" then
      local state = M.state(item, entry.text)
      drop_stale(item, entry, state, common.seconds(item.t.valid))
      if state.outcome and state.outcome.answer == "reject" then state.outcome, state.answers, state.at = nil, {}, nil end -- asked again
      if not state.outcome and not state.waived then
        questions[#questions + 1] = question(item, entry, program.asked.entry(item, entry), opened, floor)
      end
    end
  end
  if #questions == 0 then return nil, false end
  local function over()
    for _, q in ipairs(questions) do
      if q.who.critical and q.outcome and q.outcome.answer == "reject" then return true end
    end
    return false
  end
  local left = engine.people.wait(questions, over)
  local expired = false
  for _, q in ipairs(questions) do
    local outcome = q.outcome
    if outcome and outcome.answer == "expired" then
      expired = true
      journal("gate.expired", item, { item = q.entry, otherwise = program.asked.otherwise(item.t.otherwise).verdict })
    elseif outcome and outcome.answer ~= "waive" then
      M.state(item, q.entry).outcome = outcome
      journal("gate.answered", item, outcome)
    end
  end
  return left or (expired and "expired") or nil, true
end

local function result_of(item, probes)
  local items, bad, failed, critical = {}, {}, 0, 0
  for i, entry in ipairs(item.t) do
    local state = M.state(item, entry.text)
    local one = { text = entry.text, kind = entry.__class, critical = (entry.more or {}).critical == true }
    if state.waived then
      one.passed, one.waived, one.by, one.why = true, true, state.waived.by, state.waived.why
    elseif entry.__class == "probe" then
      one.passed, one.note = probes[entry.text].passed, probes[entry.text].note
    else
      local answer = state.outcome
      one.passed, one.by = answer ~= nil and answer.answer == "approve", answer and answer.by
      one.evidence, one.why = answer and answer.evidence, answer and answer.why
      one.note = answer == nil and "nobody answered" or not one.passed and ("no, says %s%s"):format(answer.by, answer.why and ": " .. answer.why or "") or nil
    end
    if not one.passed then
      failed = failed + 1
      if one.critical then critical = critical + 1 end
      bad[#bad + 1] = entry.text .. (one.note and " (" .. one.note .. ")" or "")
    end
    items[i] = one
  end
  return { items = items, failed = failed, critical_failed = critical }, bad
end

-- What follows where not everything holds: the deadline's `otherwise`, the table, else hold (with a due date) or rollback.
local function verdict_of(item, result, expired)
  local t = item.t
  if expired and t.otherwise then return program.asked.otherwise(t.otherwise) end
  if t.fail then return engine.judge.decide(t.fail, result) end
  if expired then return program.asked.otherwise() end
  return { verdict = t.due and "hold" or "rollback" }
end

function M.perform(item)
  local started = host.monotonic()
  journal("step.started", item, { kind = "checklist", attempt = 1, owner = item.t.owner })
  engine.people.read()
  local probes = item.reconfirm or probe(item)
  local left, waited = ask(item)
  if left == "detached" then return { verdict = "hold", why = ("waiting for people at %s"):format(label("checklist", item.name)), item = item } end
  -- People took their time: what the machine saw before is old.
  if waited and not item.reconfirm then probes = probe(item) end
  local result, bad = result_of(item, probes)
  item.result, item.elapsed = host.store(result), host.monotonic() - started
  item.status = #bad == 0 and "finished" or "failed"
  if #bad == 0 then item.entries, item.open = nil, nil end -- met again by a redo, it is asked anew
  local verdict = #bad > 0 and verdict_of(item, item.result, left == "expired") or nil
  local why = verdict and ("%s: %s%s"):format(label("checklist", item.name), verdict.why and verdict.why .. ": " or "", table.concat(bad, "; "))
  journal("checkpoint.judged", item, { passed = #bad == 0, kind = "checklist", elapsed_s = item.elapsed, result = item.result,
    verdict = verdict and verdict.verdict, why = why, detail = ("%d of %d"):format(#item.t - #bad, #item.t) })
  if verdict then return { verdict = verdict.verdict, why = why, way = verdict.way, roles = verdict.roles, item = item } end
end

return M

-- Questions to people: gates, confirmations, decisions, manual steps. An answer comes from --approve, from the terminal of the
-- run, or from another one through the journal. Who may answer and when the answers are enough is authority.h's; here it is
-- asked, waited for, and each answer goes into the journal. Rules 9 and 10 of docs/playbook.md. Runs in the task that asks.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = { initiators = {} }

-- Requests of other terminals, each used once: an event that carries its id says so, also to a later process.
local inbox = { seen = 0, list = {}, used = {} }
function M.used(id) inbox.used[id] = true end

-- Reads what has come; the id of the newest.
function M.read()
  for _, request in ipairs(host.requests(inbox.seen)) do
    inbox.seen = request.id
    inbox.list[#inbox.list + 1] = request
  end
  return inbox.seen
end

-- The requests about `subject` that nobody has used and that came after `floor`.
function M.requests(subject, floor)
  local found = {}
  for _, request in ipairs(inbox.list) do
    if request.subject == subject and request.id > (floor or 0) and not inbox.used[request.id] then found[#found + 1] = request end
  end
  return found
end

-- An answer as the journal keeps it: who, as what, when, from where, with which evidence, to which plan.
local function record(q, given, right)
  return { answer = given.answer, by = given.by, via = given.via, roles = right and right.roles, checked = right and right.checked or false,
    stands_in = right and right.stands_in or nil, from = given.from, evidence = given.evidence, why = given.why, given_at = host.iso(given.at),
    plan = given.plan or host.plan_hash(), request = given.request, item = q.entry }
end
M.record = record

-- Why an answer does not count whoever gives it, or nil.
local function out_of_date(q, given)
  if given.plan and given.plan ~= host.plan_hash() then
    return ("%s: the answer was given to another plan: the source, a parameter or the roster has changed since"):format(q.label)
  end
  if q.until_at and given.at > q.until_at then return ("%s: too late: it could be answered until %s"):format(q.label, host.iso(q.until_at)) end
  if q.valid and host.now() - given.at > q.valid then return ("%s: the confirmation is older than %s"):format(q.label, host.duration_text(q.valid)) end
end

-- Whether `given` may be given now: the answer as it counts, or {refusal, kind}.
local function right_of(q, given)
  return host.right(q.who, { by = given.by, as = given.as, evidence = given.evidence, yes = given.answer ~= "reject", what = q.label,
    waited_s = math.max(0, given.at - q.opened), before = q.answers, initiators = M.initiators })
end

-- Takes one answer: it decides the question, counts towards it, or is refused.
local function take(q, given)
  local why = out_of_date(q, given)
  local right = not why and right_of(q, given)
  if right and right.refusal then why = right.refusal end
  if why then
    q.complaint = why
    common.journal("answer.refused", q.item, { answer = given.answer, by = given.by, via = given.via, why = why, request = given.request, item = q.entry })
    return
  end
  local answer = record(q, given, right)
  if given.answer ~= "approve" then
    q.outcome = answer
    return
  end
  q.answers[#q.answers + 1] = answer
  local tally = host.tally(q.who, { before = q.answers, initiators = M.initiators })
  if tally.enough then
    q.outcome = record(q, given, right)
    if #q.answers > 1 then q.outcome.people = q.answers end
  else
    answer.progress = tally.words
    common.journal("approval.given", q.item, answer)
  end
end

-- What a typed line means: an answer and what follows it, or nil.
local yes, no = { y = true, yes = true, approve = true, ok = true }, { n = true, no = true, reject = true }
local function parse(q, line)
  local word, rest = line:match "^%s*(%S+)%s*(.-)%s*$"
  if not word then return nil end
  word = word:lower()
  local given = { by = host.user(), via = "terminal", from = host.user_place(), at = host.now() }
  if q.choices then
    for _, choice in ipairs(q.choices) do
      if word == choice[1] or word == choice[2] or word == choice[2]:gsub("_", "-") then given.answer = choice[2] end
    end
    if rest ~= "" then given.why = rest end
  elseif yes[word] then
    given.answer = "approve"
    if rest ~= "" then
      if q.who.evidence then given.evidence = rest else given.as = rest end
    end
  elseif no[word] then
    given.answer = "reject"
    if rest ~= "" then given.why = rest end
  end
  return given.answer and given
end

-- Whether the user of this terminal could answer: nobody is asked what he may not decide.
local function may_answer_here(q)
  local given = { answer = "approve", by = host.user(), at = host.now(), evidence = "https://" }
  local right = right_of(q, given)
  return not right.refusal or right.kind == "as" or right.kind == "initiator"
end

-- One prompt at a time: for the first open question that the user of the terminal may answer.
local prompt = {}
local function stop_prompt()
  if prompt.task and not host.ended(prompt.task) then
    host.cancel(prompt.task, "answered elsewhere")
    host.join(prompt.task)
  end
  prompt.task, prompt.line = nil, nil
end

local function serve_prompt(questions)
  if not host.given().interactive or prompt.closed then return end
  local front
  for _, q in ipairs(questions) do
    if not q.outcome and may_answer_here(q) then
      front = q
      break
    end
  end
  if prompt.task and prompt.question ~= front then stop_prompt() end
  if prompt.line then
    local given = parse(prompt.question, prompt.line)
    stop_prompt()
    if given then take(front, given) end
    if front.outcome then return end
  end
  if front and not prompt.task then
    local text = (front.complaint and front.complaint .. "\n" or "") .. front.prompt
    front.complaint = nil
    prompt.question = front
    prompt.task = host.spawn(function()
      local line = host.read_line(text)
      if line == nil then prompt.closed = true end
      prompt.line = line
    end)
  end
end

local function take_requests(q)
  for _, request in ipairs(M.requests(q.subject, not q.ahead and q.floor or 0)) do
    local answer = q.verbs[request.verb]
    if request.verb == "answer" then
      for _, choice in ipairs(q.choices or {}) do
        if choice[2] == request.data.answer then answer = choice[2] end
      end
    end
    if answer and not q.outcome then
      M.used(request.id)
      if request.verb == "waive" then
        engine.checklist.waive(q, request)
      else
        local data = request.data
        take(q, { answer = answer, by = request.by, via = "another terminal", as = data.as, evidence = data.evidence, why = data.why, from = data.from,
          plan = data.plan, at = request.at, request = request.id })
      end
    end
  end
end

-- What time does to an open question: it is passed on, or over.
local function pass_on(q, now)
  local level, limit = host.passed_on(q.who, math.max(0, now - q.opened))
  while q.level < level do
    q.level = q.level + 1
    local deadline = q.opened + q.who.within_s * (q.level + 1)
    common.journal("gate.escalated", q.item, { level = q.level, role = table.concat(q.who.escalate[q.level], " or "), deadline = host.iso(deadline), item = q.entry })
  end
  q.until_at = q.extended or (limit > 0 and q.opened + limit) or nil
  return q.until_at ~= nil and now >= q.until_at
end

-- When time does the next thing to an open question, or nil.
local function passes_at(q)
  if not q.until_at then return nil end
  return q.level < #(q.who.escalate or {}) and math.min(q.until_at, q.opened + q.who.within_s * (q.level + 1)) or q.until_at
end

-- How a decision is answered from elsewhere.
function M.how_decided() return ("runbook answer %s rollback, hold or go-on"):format(host.run_id()) end

-- Waits for answers to all of `questions`, or until `over()` says that the rest does not matter. Each gets `outcome`: the
-- answer, or {answer = "expired"}. Returns "detached" where the run may not wait.
-- A question: subject, label, item, entry, who, opened, floor, ahead, answers, verbs, choices, prompt.
function M.wait(questions, over)
  local given = host.given()
  for _, q in ipairs(questions) do
    q.level = q.level or 0
    for _, name in ipairs(given.approve) do
      if name == q.subject and q.choices then -- a yes says nothing about which of them
        q.complaint = ("%s: --approve says yes to a gate, and this asks what to do: %s"):format(q.label, M.how_decided())
        common.journal("answer.refused", q.item, { answer = "approve", by = host.user(), via = "--approve", why = q.complaint })
      elseif name == q.subject and not q.outcome then
        take(q, { answer = "approve", by = host.user(), via = "--approve", from = host.user_place(), at = math.max(q.opened, host.now()), evidence = nil })
      end
    end
  end
  local detached = false
  local ok, problem = host.try(function()
    while true do
      local now, open = host.now(), 0 -- read before the requests: whatever was posted in time is among them
      M.read()
      for _, q in ipairs(questions) do
        local expired = not q.outcome and pass_on(q, now)
        if not q.outcome then take_requests(q) end
        if expired and not q.outcome then q.outcome = { answer = "expired" } end
      end
      serve_prompt(questions)
      local wake
      for _, q in ipairs(questions) do
        if not q.outcome then
          open = open + 1
          local next_at = passes_at(q)
          if next_at and not (wake and wake <= next_at) then wake = next_at end
        end
      end
      if open == 0 or over and over() then return end
      if given.detach and not questions.stays then
        local watcher = questions[1].item.kind ~= "monitor" and engine.monitor.watching() -- its own question is put beside it
        if not watcher then
          detached = true
          return
        end
        if not questions.postponed then
          questions.postponed = true
          engine.monitor.postpone(questions[1].item)
        end
      end
      host.poll(0.2, wake and math.max(0.001, wake - host.now()))
    end
  end)
  -- Whatever ended the wait: the next question must not share the terminal with this one.
  if ok then stop_prompt() elseif prompt.task then
    host.cancel(prompt.task, "the wait ended")
    prompt.task, prompt.line = nil, nil
  end
  if not ok then error(problem, 0) end
  return detached and "detached" or nil
end

-- Whether what was answered by now would be enough; nothing is taken. A waiver counts: whether it may be is judged when the run
-- gets there.
function M.enough(q)
  M.read()
  local before = {}
  for _, answer in ipairs(q.answers) do before[#before + 1] = answer end
  for _, request in ipairs(M.requests(q.subject, 0)) do
    local answer, data = q.verbs[request.verb], request.data
    if answer == "waive" then return true end
    if answer == "reject" then return false end
    local given = { answer = answer, by = request.by, as = data.as, evidence = data.evidence, plan = data.plan, at = request.at }
    if answer and not out_of_date(q, given) then
      local right = right_of(setmetatable({ answers = before }, { __index = q }), given)
      if not right.refusal then before[#before + 1] = record(q, given, right) end
    end
  end
  return host.tally(q.who, { before = before, initiators = M.initiators }).enough
end

-- The old name of a decision.
function M.decide(...) return engine.decision.make(...) end

-- A step that a person does: raises unless it was done. Its question lives as long as the attempt.
function M.manual(item)
  local who = program.asked.manual(item)
  local floor, now = M.read(), host.now()
  local q = { subject = item.name, label = program.label("step", item.name), item = item, who = who, opened = now, floor = floor, answers = {},
    verbs = { approve = "approve", confirm = "approve", reject = "reject" }, prompt = item.t.manual .. " - done? [y/n] " }
  common.journal("gate.opened", item, { ask = item.t.manual, role = table.concat(who.roles, ", "), kind = "manual", who = who, at = now, floor = floor })
  if M.wait { q } == "detached" then return "detached" end
  common.journal("gate.answered", item, q.outcome)
  return q.outcome.answer, q.outcome.by
end

-- What --approve names and what --detach leaves alone, before anything runs. Rule 9: a run may only be left alone while nobody's
-- silence would have an effect, because nobody would be there to do it.
function M.check_given(track)
  local given, names = host.given(), {}
  for _, item in ipairs(track) do
    local asked = program.asked.describe(item)
    if asked and asked.who then
      names[item.name] = { who = asked.who, item = item }
    elseif asked then
      for i, entry in ipairs(asked.entries) do
        if entry.kind == "confirm" then names[program.asked.subject(item, item.t[i])] = { who = entry.who, item = item } end
      end
    end
  end
  if given.detach and not given.ahead then
    local item, who, otherwise = program.asked.left_alone(track, function(item, who)
      local answered = item.status == "finished" or item.status == "skipped" or item.passed_over
      for _, name in ipairs(given.approve) do answered = answered or name == item.name and #who.roles <= 1 and who.people == 1 end
      return answered
    end, common.has_way_back)
    if item then
      host.raise_usage(("--detach: %s leads to '%s' when nobody answers within %s, and nobody would hold the run to do it"):format(
        program.label(item.kind, item.name), otherwise, host.duration_text(who.within_s)), "leave --detach away, or say otherwise = \"hold\" there")
    end
  end
  local watcher, asks = nil, nil
  if given.detach and not given.ahead then watcher, asks = engine.monitor.unwatched(track) end
  if watcher then
    host.raise_usage(("--detach: %s waits for people while %s watches up to \"%s\", and nobody would watch"):format(
      program.label(asks.kind, asks.name), program.label("monitor", watcher.name), watcher.t.to), "leave --detach away, or let the monitor end before it")
  end
  for _, name in ipairs(given.approve) do
    local known = names[name]
    local other = not known and program.names[name]
    if other then
      host.raise_usage(("--approve: %s is not a gate: --approve says yes to a gate, an item to confirm or a step that a person does"):format(program.label(other.kind, name)),
        "a decision is answered where it is asked, or with `runbook answer RUN rollback`, `hold` or `go-on`")
    end
    if not known then
      host.raise_usage(("--approve: there is no gate '%s'%s"):format(name, host.did_you_mean(name, names)), next(names) and "gates: " .. table.concat(host.sorted_keys(names), ", ") or nil)
    end
    local right = known and host.right(known.who, { by = host.user(), what = "--approve: " .. program.label(known.item.kind, name), initiators = { host.user() } })
    if right and right.refusal then host.raise_usage(right.refusal) end
  end
end

return M

-- People of a test: answers that are written beforehand, given when their question is put, as another terminal would give
-- them. Without one nobody answers, and time goes on to the deadline.
local test = ...
local host, say = test.host, test.say
local M = { open = {} }

local scripts = {} -- subject: list of answers
local taken = {}   -- subject: how many of them were given

local known = { by = "string", as = "string", after = "any", evidence = "string", why = "string" }
local function script(word, verb)
  return function(subject, options, choice)
    say.check(type(subject) == "string", word .. ": argument 1", "the name of a gate, or the text of a confirmation", subject)
    options = say.options(word, options, known)
    local one = { verb = verb, by = options.by, choice = choice, after = options.after and say.seconds(word .. ": option 'after'", options.after) or 0,
      data = { as = options.as, evidence = options.evidence, why = options.why, answer = choice, from = "a test" } }
    scripts[subject] = scripts[subject] or {}
    table.insert(scripts[subject], one)
  end
end
M.approve, M.reject, M.confirm, M.waive = script("approve", "approve"), script("reject", "reject"), script("confirm", "confirm"), script("waive", "waive")

local choices = { rollback = 1, hold = 1, go_on = 1 }
local decide = script("answer", "answer")
function M.answer(subject, choice, options)
  say.check(type(choice) == "string" and choices[choice], "answer: argument 2", "rollback, hold or go_on", choice)
  return decide(subject, options, choice)
end

-- Who answers where the test names nobody: the next of the roster who may, and did not start the run.
local function somebody(who, used)
  local roster = test.roster or {}
  for _, role in ipairs(who and who.roles or {}) do
    local people = roster[role]
    for _, person in ipairs(type(people) == "table" and people or { people }) do
      if person ~= test.by and not used[person] then return person end
    end
  end
  return "somebody"
end

local function give(question)
  local list = scripts[question.key] or {}
  local one = list[(taken[question.key] or 0) + 1]
  if not one then return end
  taken[question.key] = (taken[question.key] or 0) + 1
  host.spawn(function()
    if one.after > 0 then host.sleep(one.after) end
    local by = one.by or somebody(question.who, question.used)
    question.used[by] = true
    host.post(one.verb, question.subject, by, one.data)
  end)
end

local function key_of(step, data)
  local text = data and data.item
  if text and (scripts[text] or not scripts[step]) then return text end
  return step
end

-- Told of every event of the run, once it is journaled.
function M.saw(event, step, data)
  data = data or {}
  local id = data.item and ("%s: %s"):format(step, data.item) or step
  if event == "gate.opened" or event == "decision.asked" then
    local question = { key = key_of(step, data), subject = id, step = step, who = data.who, used = {}, role = data.role, ask = data.ask or data.why,
      kind = event == "decision.asked" and "decision" or data.kind }
    M.open[id] = question
    give(question)
  elseif event == "gate.expired" and M.open[id] then M.open[id].expired = true
  elseif event == "gate.extended" then
    for _, other in ipairs(host.sorted_keys(M.open)) do
      local question = M.open[other]
      if question.expired and question.step == step then
        question.expired = nil
        give(question)
      end
    end
  elseif event == "gate.answered" or event == "decision.answered" or event == "item.waived" then M.open[id] = nil
  elseif (event == "approval.given" or event == "answer.refused") and M.open[id] then give(M.open[id])
  end
end

-- A run that begins has no question of the one before.
function M.begin() M.open = {} end

-- A question that an earlier process of the run has put is still open: its answers may come now.
function M.linked()
  for _, id in ipairs(host.sorted_keys(M.open)) do
    if not M.open[id].expired then give(M.open[id]) end
  end
end

function M.order(verb, options)
  local verbs = { pause = 1, resume = 1, cancel = 1, rollback = 1 }
  say.check(type(verb) == "string" and verbs[verb], "order: argument 1", "pause, resume, cancel or rollback", verb)
  options = say.options("order", options, { by = "string", why = "string", way = "string" })
  if not test.running then say.wrong("order: no run is going on", "call it in a fake, or in after(…) or on(…)") end
  host.spawn(function() host.post(verb, "", options.by or "somebody", { why = options.why, way = options.way, from = "a test" }) end)
end

-- Who is waited for, for the message of a run that nobody lets go on.
function M.waited_for()
  for _, id in ipairs(host.sorted_keys(M.open)) do
    local question = M.open[id]
    if not question.expired then
      local word = question.kind == "decision" and ('answer("%s", "rollback")'):format(question.key) or ('%s("%s")'):format(question.kind == "confirm" and "confirm" or "approve", question.key)
      return ('nobody answers "%s"%s'):format(question.key, question.role and question.role ~= "" and (" (%s)"):format(question.role) or ""), word
    end
  end
end
return M

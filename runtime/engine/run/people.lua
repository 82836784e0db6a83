-- Questions to people: gates, decisions, manual steps. An answer comes from --approve, from the terminal of the run, or from
-- another terminal through the journal; the first one counts. Runs in the task of the step that asks.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

local yes = { y = true, yes = true, approve = true, ok = true }
local no = { n = true, no = true, reject = true }

-- What a typed line means among `choices` (a list of {key, word, text}), or nil.
local function match(line, choices)
  line = line:lower():match "^%s*(.-)%s*$"
  for _, choice in ipairs(choices) do
    if line == choice[1] or line == choice[2] then return choice[2] end
  end
  if choices.yes_no then return yes[line] and "approve" or no[line] and "reject" or nil end
end

-- Asks until somebody answers, the deadline passes ("expired") or the run may not wait ("detached").
-- Returns the answer, who gave it, and through what.
function M.ask(name, question)
  local given = host.given()
  for _, gate in ipairs(given.approve) do
    if gate == name then return question.choices[1][2], host.user(), "--approve" end
  end
  if given.detach then return "detached" end
  local seen = question.seen or host.last_request()
  local typed
  local reader = given.interactive and host.spawn(function()
    while true do
      local line = host.read_line(question.prompt)
      if line == nil then return end
      typed = match(line, question.choices)
      if typed then return end
    end
  end)
  local answer, by, via
  local ok, problem = host.try(function()
    while not answer do
      if typed then
        answer, by, via = typed, host.user(), "terminal"
        break
      end
      for _, request in ipairs(host.requests(seen)) do
        seen = request.id
        if request.subject == name or request.subject == "" then
          for _, choice in ipairs(question.choices) do
            if request.verb == choice[2] then answer, by, via = choice[2], request.by, "another terminal" end
          end
        end
      end
      if not answer and question.deadline and host.now() >= question.deadline then answer = "expired" end
      if not answer then host.sleep(0.2) end
    end
  end)
  -- Whatever ended the wait: the next question must not share the terminal with this one.
  if reader and not host.ended(reader) then
    host.cancel(reader, "answered elsewhere")
    if ok then host.join(reader) end
  end
  if not ok then error(problem, 0) end
  return answer, by, via
end

-- Asks a person what to do; returns rollback, hold or go_on.
function M.decide(item, why, roles)
  local header = program.header().t
  local ask = header.ask or {}
  local within = common.seconds(ask.within)
  local role = roles and table.concat(roles, ", ") or "anyone"
  local asked = common.journal("decision.asked", item, { why = why, role = role, title = header.roles and header.roles[roles and roles[1] or ""],
    options = { "rollback", "hold", "go_on" }, deadline = within and host.iso(host.now() + within) })
  local answer, by, via = M.ask(item.name, { deadline = within and host.now() + within, seen = asked.last_request,
    prompt = "roll back (r), hold here (h), or go on (g)? ", choices = { { "r", "rollback" }, { "h", "hold" }, { "g", "go_on" } } })
  if answer == "expired" then answer, via = ask.otherwise or "rollback", "nobody answered in time" end
  if answer == "detached" then answer, via = "hold", "--detach" end
  common.journal("decision.answered", item, { answer = answer, by = by, via = via })
  return answer
end

return M

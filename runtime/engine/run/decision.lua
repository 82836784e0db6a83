-- A decision: a verdict, a failure that would lose rows, or Ctrl-C asks a person to roll back, to hold or to go on. What a
-- rollback would lose is said before. Nobody's silence loses rows: then the run holds.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

local function loss_words(rows)
  if rows == 0 then return nil end
  return ("A rollback from here would lose %s rows"):format(rows and host.grouped(rows) or "an unknown number of")
end

-- Asks about `item`; returns rollback, hold or go_on. `roles` may answer, else the header's; `again`: going on means to meet the
-- item again (it was interrupted), not to pass it over.
function M.make(item, why, roles, again)
  local header = program.header().t
  local who = program.asked.decision(roles)
  local rows, list = engine.rollback.losses(program.track)
  local lost = loss_words(rows)
  local floor, now = engine.people.read(), host.now()
  if item.decision then now, floor = item.decision.at, item.decision.floor end -- asked by an earlier process: its time goes on
  local _, limit = host.passed_on(who, 0)
  local otherwise = program.asked.otherwise().verdict
  if otherwise == "rollback" and rows ~= 0 then otherwise = "hold" end
  local role = table.concat(who.roles, " or ")
  common.journal("decision.asked", item, { why = lost and ("%s. %s"):format(why, lost) or why, role = role, title = header.roles and header.roles[who.roles[1] or ""],
    options = { "rollback", "hold", "go_on" }, deadline = limit > 0 and host.iso(now + who.within_s) or nil, otherwise = limit > 0 and otherwise or nil,
    loses = { rows = rows or "unknown", steps = list }, who = who, at = now, floor = floor, again = again })
  local q = { subject = item.name, label = ("the decision at %s"):format(program.label(item.kind, item.name)), item = item, who = who, opened = now, floor = floor,
    answers = {}, verbs = {}, choices = { { "r", "rollback" }, { "h", "hold" }, { "g", "go_on" } },
    prompt = (lost and lost .. ".\n" or "") .. "roll back (r), hold here (h), or go on (g)? " }
  -- --detach does not leave a decision whose silence has an effect: the process stays and does it.
  local detached = engine.people.wait { q, stays = limit > 0 and otherwise ~= "hold" } == "detached"
  local outcome = q.outcome
  if detached then outcome = { answer = "hold", via = "--detach" }
  elseif outcome.answer == "expired" then outcome = { answer = otherwise, via = "nobody answered in time" } end
  outcome.again = again
  item.decision = nil
  common.journal("decision.answered", item, outcome)
  return outcome.answer
end

return M

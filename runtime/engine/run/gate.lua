-- A gate of the run: a person decides, before a deadline that a resume does not move.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

function M.perform(item)
  local t, header = item.t, program.header().t
  common.allow_reads(item)
  local question = t.ask
  if type(question) == "function" then
    local ok, text = host.try(question)
    if not ok then return { verdict = "rollback", why = label("gate", item.name) .. ": its question failed: " .. text.message, item = item, problem = text } end
    question = text
  end
  local within = common.seconds(t.within or (header.ask or {}).within)
  local otherwise = t.otherwise or (header.ask or {}).otherwise or "hold"
  local seen
  if not item.deadline then -- absolute, and the same after a resume
    item.deadline = within and host.now() + within
    local opened = journal("gate.opened", item, { ask = question, role = t.role, title = header.roles and header.roles[t.role or ""],
      deadline = item.deadline and host.iso(item.deadline), otherwise = otherwise, kind = "gate" })
    seen = opened.last_request
  end
  local answer, by, via = engine.people.ask(item.name, { deadline = item.deadline, seen = seen, prompt = "approve? [y/n] ",
    choices = { { "y", "approve" }, { "n", "reject" }, yes_no = true } })
  if answer == "detached" then return { verdict = "hold", why = ("waiting at %s"):format(label("gate", item.name)), item = item } end
  if answer == "expired" then
    journal("gate.expired", item, { otherwise = otherwise })
    return { verdict = otherwise, why = ("%s: nobody answered in time"):format(label("gate", item.name)), item = item }
  end
  item.status = "finished"
  item.result = { answer = answer, by = by, via = via }
  journal("gate.answered", item, item.result)
  if answer == "reject" then return { verdict = "rollback", why = ("%s was declined by %s"):format(label("gate", item.name), by), item = item } end
end

return M

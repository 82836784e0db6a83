-- Who is asked by a gate, a confirmation or a decision, as data: `who` of its event and of the plan. The one place that reads
-- `role`, `all_of`, `people`, `not_initiator`, `within`, `escalate` and what the header's `ask` says for all of them.
local host, program = ...
local M = {}

local function list(value)
  if value == nil then return {} end
  return type(value) == "table" and value or { value }
end

-- `escalate = "cto"`, `{ "manager", "cto" }` (one after the other) or `{ { "manager", "cto" } }` (either of them).
local function levels(value)
  local result = {}
  for i, entry in ipairs(list(value)) do result[i] = list(entry) end
  return result
end

local function seconds(value) return value and host.parse_duration(value) or nil end

local function header_ask()
  local header = program.header()
  return header and header.t.ask or {}
end

-- A gate. Where several people must say yes, only the gate's own `escalate` counts: an escalated yes stands in for those that
-- did not answer, and a header's must not turn "all of them" into "one of them".
function M.gate(item)
  local t, ask = item.t, header_ask()
  local many = t.all_of ~= nil or (t.people or 1) > 1
  local within = seconds(t.within or ask.within)
  return { roles = list(t.all_of or t.role or ask.role), all = t.all_of ~= nil, people = t.people or 1, not_initiator = t.not_initiator == true,
    within_s = within, escalate = within and levels(t.escalate or (not many and ask.escalate or nil)) or {} }
end

-- An item of a checklist.
function M.entry(item, entry)
  local t, ask = item.t, header_ask()
  local more = entry.more or {}
  local within = seconds(t.within)
  return { roles = list(entry.role), people = more.people or 1, not_initiator = more.not_initiator == true, evidence = more.evidence,
    critical = more.critical == true, owner = t.owner, within_s = within, escalate = levels(t.escalate or ask.escalate) }
end

-- A step that a person does by hand.
function M.manual(item) return { roles = list(item.t.owner), people = 1, escalate = {} } end

-- A decision: of `roles` (a verdict's), else of the header's.
function M.decision(roles)
  local ask = header_ask()
  local within = seconds(ask.within)
  return { roles = list(roles or ask.role), people = 1, within_s = within, escalate = within and levels(ask.escalate) or {} }
end

-- Roles that may order the run from elsewhere, beside the roster's `operator`: who decides where nothing else says it.
function M.orders() return list(header_ask().role) end

-- What a question leads to when nobody answers, as a verdict.
function M.otherwise(value)
  value = value or header_ask().otherwise or "hold"
  if type(value) == "table" then return value end
  return { verdict = value, why = nil }
end

-- Name under which an item of a checklist is answered.
function M.subject(item, entry) return item.name .. ": " .. entry.text end

-- What people are asked by an item, for the plan and for `runbook approve`, `confirm` and `waive`; nil where they are not.
function M.describe(item)
  if item.kind == "gate" then return { who = M.gate(item), ahead = item.t.at ~= nil } end
  if item.kind == "step" and item.t.manual then return { who = M.manual(item) } end
  if item.kind ~= "checklist" then return nil end
  local entries = {}
  for i, entry in ipairs(item.t) do
    entries[i] = { text = entry.text, kind = entry.__class, who = M.entry(item, entry) }
  end
  return { entries = entries, ahead = item.t.due ~= nil, due = item.t.due, valid_s = seconds(item.t.valid) }
end

-- Whether a step declares a way back: rule 2, as far as the file shows it.
function M.has_way_back(item)
  if item.t.undo or item.t.loses then return true end
  for _, action in ipairs(item.actions or {}) do
    if action.undo then return true end
  end
  return false
end

-- The first question of `track` whose silence would have an effect that nobody is there for, when the run is left alone (rule 9): a
-- deadline that leads on, with something behind it that has a way back. Returns item, who, verdict; nil where there is none.
-- `settled(item, who)`: it is over, or answered already; `has_way_back(item)`: what a run knows better than the file.
function M.left_alone(track, settled, has_way_back)
  local behind = false
  has_way_back = has_way_back or M.has_way_back
  for _, item in ipairs(track) do
    local asked = item.kind ~= "step" and M.describe(item)
    if asked and behind then
      local who = asked.who or asked.entries[1].who
      local otherwise = M.otherwise(item.t.otherwise or (item.t.fail and item.t.fail.otherwise) or nil).verdict
      if who.within_s and otherwise ~= "hold" and otherwise ~= "tell" and not (settled and settled(item, who)) then return item, who, otherwise end
    end
    behind = behind or (item.kind == "step" and item.t.on ~= "rollback" and has_way_back(item))
  end
end

-- Findings: a role that is not there, and a question that nobody can answer. `initiator` is nil where only the file is looked at.
function M.findings(add, initiator)
  local header = program.header().t
  local function known(at, who, option, roles)
    for _, role in ipairs(roles) do
      if header.roles and not header.roles[role] then
        add(at, ("%s: option '%s': no role '%s'%s"):format(who, option, tostring(role), host.did_you_mean(tostring(role), header.roles)))
        return false
      end
    end
    return true
  end
  local function check(at, who, asked, option)
    local fine = known(at, who, option, asked.roles)
    for _, roles in ipairs(asked.escalate) do fine = known(at, who, "escalate", roles) and fine end
    local why = fine and host.nobody(asked, initiator)
    if why then add(at, ("%s: %s"):format(who, why)) end
  end
  local ask = header.ask or {}
  for _, roles in ipairs(levels(ask.escalate)) do known(program.header(), "ask", "escalate", roles) end
  known(program.header(), "ask", "role", list(ask.role))
  if ask.escalate and not ask.within then add(program.header(), "ask: option 'escalate' needs 'within': after which time") end
  for _, item in ipairs(program.track) do
    local who = program.label(item.kind, item.name)
    if item.kind == "gate" then
      check(item, who, M.gate(item), item.t.all_of and "all_of" or "role")
      if item.t.escalate and not M.gate(item).within_s then add(item, who .. ": option 'escalate' needs 'within': after which time") end
    elseif item.kind == "checklist" then
      if item.t.escalate and not item.t.within then add(item, who .. ": option 'escalate' needs 'within': after which time") end
      for _, entry in ipairs(item.t) do
        local asked = M.entry(item, entry)
        if entry.__class == "confirm" then
          check(item, ('%s: confirm "%s"'):format(who, entry.text), asked, "role")
        end
      end
    end
  end
end

return M

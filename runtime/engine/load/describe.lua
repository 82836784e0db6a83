-- The plan as data: what will be done, by whom, from when, how long, who is asked, and the way back. No effects; the same
-- table is journaled at the start of a run, so that the views and the report know it too. Adds program.describe.
local host, program = ...

local function seconds(value) return value and host.parse_duration(value) or nil end

local function way_back(item)
  local t = item.t
  if item.kind ~= "step" then return nil end
  if program.is(t.undo, program.classes.Way) then return "keep: " .. t.undo.keep end
  if t.undo then return "undo" end
  for _, action in ipairs(item.actions or {}) do
    if action.toggle then return "toggle" end
    if action.undo then return program.is(action.undo, program.classes.Way) and "keep: " .. action.undo.keep or "undo" end
  end
  return "none"
end

-- The ways of an undo that has several: their names in order.
local function ways(item)
  local undo = item.t.undo
  if type(undo) ~= "table" or program.is(undo, program.classes.Way) then return nil end
  return host.sorted_keys(undo)
end

local function verdict_words(verdict)
  if type(verdict) == "string" then return verdict end
  if type(verdict) ~= "table" or not verdict.verdict then return nil end
  local words = verdict.verdict == "ask" and "ask " .. table.concat(verdict.roles or {}, ", ") or verdict.verdict
  if verdict.way then words = words .. " (" .. tostring(verdict.way) .. ")" end
  return verdict.why and ("%s: %s"):format(words, tostring(verdict.why)) or words
end

-- What a decision table can lead to, the rows first.
local function decisions(item)
  local list = {}
  for _, row in ipairs(type(item.t.fail) == "table" and item.t.fail or {}) do list[#list + 1] = verdict_words(row[1]) end
  local otherwise = type(item.t.fail) == "table" and item.t.fail.otherwise
  if otherwise then list[#list + 1] = verdict_words(otherwise) end
  if #list == 0 and (item.kind == "checkpoint" or item.kind == "checklist") then list[1] = "rollback" end
  return list
end

-- Who is responsible: the owner, else who decides.
local function owner_of(item)
  local owner = item.t.owner or item.t.role or item.t.all_of
  return type(owner) == "table" and table.concat(owner, ", ") or owner
end

local function question(item, header)
  local t, ask = item.t, header.t.ask or {}
  local within = t.within or ask.within
  return { ask = type(t.ask) == "string" and t.ask or "a question made at run time", role = owner_of(item), within_s = seconds(within),
    otherwise = verdict_words(t.otherwise) or (within and (verdict_words(ask.otherwise) or "hold")) or nil }
end

local function entries(item)
  local list = {}
  for _, entry in ipairs(item.t) do
    if type(entry) == "table" and entry.text then list[#list + 1] = { kind = entry.__class, role = entry.role, text = entry.text } end
  end
  return list
end

-- Words for people about one item, most important first.
local function notes(item, header, known)
  local t, list = item.t, {}
  local function add(...) list[#list + 1] = string.format(...) end
  if item.kind == "checkpoint" then
    add(t.on == "rollback" and "checkpoint on the way back" or "checkpoint")
    add("otherwise %s", table.concat(known.decisions, "; "))
  elseif item.kind == "gate" then
    local asked = known.question
    add('asks %s: "%s"', asked.role or "anyone", asked.ask)
    if asked.within_s then add("within %s, otherwise %s", host.duration_text(asked.within_s), asked.otherwise) end
  elseif item.kind == "checklist" then
    add("checklist")
    for _, entry in ipairs(known.entries) do
      add(entry.kind == "confirm" and "%s confirms: %s" or "%schecks: %s", entry.kind == "confirm" and (entry.role or "anyone") or "", entry.text)
    end
  elseif item.kind == "step" then
    if t.manual then add("by hand: %s", t.manual) end
    if known.way_back == "none" then add(t.loses and "no undo; a rollback from here may lose rows" or "changes nothing")
    elseif known.way_back == "toggle" then add("switched back on the way back")
    elseif known.way_back == "undo" then add(known.ways and "undo (" .. table.concat(known.ways, ", ") .. ")" or "undo")
    else add("%s", (known.way_back:gsub("^keep: ", "keeps: "))) end
    if t.loses and known.way_back ~= "none" then add "asks before a rollback that would lose rows" end
    if t.stays then add("stays: %s", t.stays) end
    if type(t.retry) == "table" and (t.retry.attempts or 1) > 1 then add("%d attempts", t.retry.attempts) end
    if t.failure == "continue" then add "goes on when it failed" end
  elseif item.kind == "monitor" then
    add('watches from "%s" %s, every %s', tostring(t.from), t.to and ('to "%s"'):format(tostring(t.to)) or "for " .. tostring(t.lasts), tostring(t.every))
    for _, rule in ipairs(item.rules or {}) do
      add("%s %s %s%s: %s", rule.name, rule.kind, rule.level and rule.level.text or "", rule.severity and (" (%s)"):format(rule.severity) or "", verdict_words(rule.verdict) or "?")
    end
  else
    add("%s", item.kind)
  end
  if known.left_out then add "left out: only_if is not true" elseif t.only_if ~= nil and type(t.only_if) == "function" then add "only if its condition holds" end
  if t.beside then add('beside, joined before "%s"', t.beside) end
  return list
end

-- The clock of the plan: items in order, lanes beside them, joined before the step they name.
local function lay_out(items)
  local clock, joins = 0, {}
  for _, one in ipairs(items) do
    if one.kind ~= "phase" and one.on ~= "rollback" then
      clock = math.max(clock, joins[one.name] or 0)
      one.at_s = clock
      local takes = one.left_out and 0 or one.takes_s or 0
      if one.beside then joins[one.beside] = math.max(joins[one.beside] or 0, clock + takes) else clock = clock + takes end
    end
  end
  for _, ends in pairs(joins) do clock = math.max(clock, ends) end
  return clock
end

-- `lock`, with the names of parameters replaced by what they are: "target" locks that database whoever names it how.
local function locks(t, parameters)
  local result = {}
  for _, name in ipairs(type(t.lock) == "table" and t.lock or { t.lock }) do
    for _, entry in ipairs(parameters) do
      if entry.name == name and entry.value ~= nil then name = tostring(entry.value) end
    end
    result[#result + 1] = name
  end
  return result
end

-- What may be touched, each once: a host stands in needs and again as a parameter.
local function reach()
  local found = program.permissions()
  for _, kind in ipairs { "shell", "ssh", "http", "files", "net", "redis" } do
    local seen, list = {}, {}
    for _, entry in ipairs(found[kind] or {}) do
      if not seen[entry] then seen[entry], list[#list + 1] = true, entry end
    end
    found[kind] = list
  end
  return found
end

-- The text of a parameter's value, as the command line takes it: a list too.
local function in_words(value)
  if type(value) ~= "table" then return tostring(value) end
  local items = {}
  for i, item in ipairs(value) do items[i] = tostring(item) end
  return table.concat(items, ",")
end

-- The description without the items: what a run that goes on asks for.
function program.head()
  local header = program.header()
  local t = header.t
  local parameters = {}
  for _, entry in ipairs(program.parameters) do
    parameters[#parameters + 1] = { name = entry.name, type = entry.type, doc = entry.t.doc or "", required = entry.t.required == true,
      default = entry.t.default ~= nil and in_words(entry.t.default) or nil, access = entry.t.access,
      value = entry.value ~= nil and in_words(entry.value) or (entry.type == "secret" and ("*** from " .. tostring(entry.source))) or nil }
  end
  return { name = header.name, summary = t.summary or "", parameters = parameters, roles = t.roles, locks = locks(t, program.parameters) }
end

function program.describe()
  local header = program.header()
  local t = header.t
  local items, back = {}, {}
  for _, item in ipairs(program.track) do
    local owner = owner_of(item)
    local one = { name = item.name, kind = item.kind, owner = owner, owner_title = t.roles and t.roles[owner or ""], takes_s = seconds(item.t.takes),
      way_back = way_back(item), ways = ways(item), beside = item.t.beside, on = item.t.on, line = item.line, within_s = seconds(item.t.within),
      left_out = item.t.only_if == false or nil, manual = item.t.manual, loses = item.t.loses ~= nil or nil,
      at = item.t.at or item.t.due, people = program.asked and program.asked.describe(item) or nil }
    if item.kind == "gate" then
      one.question = question(item, header)
      one.ask, one.otherwise = one.question.ask, one.question.otherwise
    end
    if item.kind == "checkpoint" then one.decisions = decisions(item) end
    if item.kind == "checklist" then one.entries, one.decisions = entries(item), decisions(item) end
    if item.kind ~= "phase" then one.notes = notes(item, header, one) end
    items[#items + 1] = one
  end
  local total = lay_out(items)
  for i = #program.track, 1, -1 do
    local item = program.track[i]
    local how = way_back(item)
    local names = ways(item)
    if item.t.on == "rollback" then back[#back + 1] = { name = item.name, how = "checked, otherwise " .. table.concat(decisions(item), "; ") }
    elseif how == "toggle" then back[#back + 1] = { name = item.name, how = "switched back" }
    elseif how and how ~= "none" then back[#back + 1] = { name = item.name, how = names and how .. " (" .. table.concat(names, ", ") .. ")" or how } end
  end
  if not program.checked then program.findings() end -- makes the sum of the window too
  local around = program.around()
  local plan = program.head()
  plan.items, plan.total_s, plan.way_back_order, plan.window = items, total, back, program.window
  plan.rollback_within_s, plan.reach, plan.orders = seconds((t.rollback or {}).within), reach(), program.asked.orders()
  plan.schedules, plan.start, plan.ahead, plan.updates = around.schedules, around.start, around.ahead, around.updates
  plan.followups, plan.after_rollback = around.followups, around.after_rollback
  return plan
end

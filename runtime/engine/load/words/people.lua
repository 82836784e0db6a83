-- `gate` and `checklist`: what people decide.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, is, Verdict = language.fail, language.label, language.is, language.Verdict
local check_options, declare, two_part, new_handle = language.check_options, language.declare, language.two_part, language.new_handle

-- Checks that `gate` and `checklist` share. `level` is the playbook's.
local function check_otherwise(who, value, level)
  if value == nil or value == "rollback" or value == "hold" then return end
  if is(value, Verdict) and value.verdict ~= "repair" then return end
  local shown = type(value) == "string" and ("'%s'"):format(value) or is(value, Verdict) and value.verdict or host.type_word(value)
  fail(level + 1, ("%s: option 'otherwise': rollback, hold or a verdict expected, got %s"):format(who, shown))
end

local function check_people(who, value, level)
  if value ~= nil and (value < 1 or value % 1 ~= 0) then
    fail(level + 1, ("%s: option 'people': a whole number from 1 up expected, got %s"):format(who, tostring(value)))
  end
end

-- A list of roles: text only, none twice; `nested` lets a list stand for "either of them".
local function check_roles(who, option, value, level, nested)
  if type(value) ~= "table" then return end
  local seen = {}
  if #value == 0 then fail(level + 1, ("%s: option '%s': names no role, so nobody could answer"):format(who, option)) end
  for i, role in ipairs(value) do
    if nested and type(role) == "table" then
      check_roles(who, option, role, level + 1)
    elseif type(role) ~= "string" then
      fail(level + 1, ("%s: option '%s': entry %d: a role expected, got %s"):format(who, option, i, host.type_word(role)))
    elseif seen[role] then
      fail(level + 1, ("%s: option '%s': role '%s' stands twice"):format(who, option, role))
    else
      seen[role] = true
    end
  end
end

-- "T", "T-30m", "T+1h": relative to the planned start.
local function check_planned(who, option, value, level)
  if value == nil or value == "T" then return end
  local length = value:match "^T[-+](.+)$"
  if not (length and host.parse_duration(length)) then
    fail(level + 1, ("%s: option '%s': a time relative to the start such as T-30m or T-7d expected, got '%s'"):format(who, option, value))
  end
end

words.gate = two_part("gate", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.gate, 3)
  if not t.ask then fail(3, who .. ": option 'ask' is required: the question") end
  if t.role and t.all_of then fail(3, who .. ": has both role and all_of: name the roles in one of them") end
  check_roles(who, "role", t.role, 3)
  check_roles(who, "all_of", t.all_of, 3)
  check_roles(who, "escalate", t.escalate, 3, true)
  check_people(who, t.people, 3)
  check_otherwise(who, t.otherwise, 3)
  check_planned(who, "at", t.at, 3)
  return new_handle(declare(kind, name, t, 3))
end)

local function check_fail(who, rows, level)
  for i, row in ipairs(rows or {}) do
    if type(row) ~= "table" or type(row.when) ~= "function" or not is(row[1], Verdict) then
      fail(level + 1, ("%s: fail row %d: { when = function, verdict } expected"):format(who, i))
    end
    if row[1].verdict == "repair" then fail(level + 1, ("%s: fail row %d: repair is for checkpoints"):format(who, i)) end
  end
  local otherwise = rows and rows.otherwise
  if otherwise ~= nil and (not is(otherwise, Verdict) or otherwise.verdict == "repair") then
    fail(level + 1, who .. ": fail.otherwise: a verdict (rollback, hold, ask) expected, got " .. (is(otherwise, Verdict) and otherwise.verdict or host.type_word(otherwise)))
  end
end

words.checklist = two_part("checklist", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.checklist, 3)
  local seen = {}
  for i = 1, #t do
    if not is(t[i], "probe") and not is(t[i], "confirm") then fail(3, ("%s: item %d: probe(text, fn) or confirm(role, text) expected"):format(who, i)) end
    if seen[t[i].text] then fail(3, ('%s: item %d: "%s" stands twice'):format(who, i, t[i].text)) end
    seen[t[i].text] = true
  end
  if #t == 0 then fail(3, who .. ": has no items") end
  check_roles(who, "escalate", t.escalate, 3, true)
  check_otherwise(who, t.otherwise, 3)
  check_planned(who, "due", t.due, 3)
  check_fail(who, t.fail, 3)
  return new_handle(declare(kind, name, t, 3))
end)

local function entry_text(kind, number, text)
  if type(text) ~= "string" or text == "" then fail(3, ("%s: argument %d 'text': string expected, got %s"):format(kind, number, host.type_word(text))) end
end

function words.probe(text, fn, more)
  entry_text("probe", 1, text)
  if type(fn) ~= "function" then fail(2, ("probe: argument 2 'fn': function expected, got %s"):format(host.type_word(fn))) end
  if more ~= nil and type(more) ~= "table" then fail(2, ("probe: argument 3 'options': table expected, got %s"):format(host.type_word(more))) end
  check_options(('probe "%s"'):format(text), more or {}, options.probe, 2)
  return { __class = "probe", text = text, fn = fn, more = more }
end

function words.confirm(role, text, more)
  if type(role) ~= "string" and type(role) ~= "table" then fail(2, ("confirm: argument 1 'role': string expected, got %s"):format(host.type_word(role))) end
  entry_text("confirm", 2, text)
  if more ~= nil and type(more) ~= "table" then fail(2, ("confirm: argument 3 'options': table expected, got %s"):format(host.type_word(more))) end
  local who = ('confirm "%s"'):format(text)
  check_roles(who, "role", role, 2)
  check_options(who, more or {}, options.confirm, 2)
  check_people(who, (more or {}).people, 2)
  if more and more.evidence == "" then fail(2, who .. ": option 'evidence': a word such as url or ticket expected, got ''") end
  return { __class = "confirm", role = role, text = text, more = more }
end

-- `followup`: what happens hours or days after a run that succeeded. Its gate and its step are made here by the words for them, and
-- stand in no track: `runbook due` starts them as a run of their own, with the results of the run that they follow.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, check_options, two_part = language.fail, language.label, language.check_options, language.two_part

language.followups = {}

local function slug_of(name)
  local slug = language.slug(name)
  if slug == "" then slug = "followup" end
  for _, other in ipairs(language.followups) do
    if other.slug == slug then return ("%s-%d"):format(slug, #language.followups + 1) end
  end
  return slug
end

-- Declares an item with its word, and takes it off the track again.
local function off_track(word, name, t)
  words[word](name)(t)
  local item = table.remove(language.track)
  item.of_followup = true
  return item
end

local function check_when(who, t)
  if not t.after and not t.at and not t.every then fail(5, who .. ": when? give it after, at or every") end
  if t.at and (t.after or t.every) then fail(5, who .. ": has at and after or every: a date comes once") end
  if t.every and host.parse_duration(t.every) <= 0 then fail(5, ("%s: option 'every': more than nothing expected, got '%s'"):format(who, t.every)) end
  if t.every and not t.times then fail(5, who .. ": option 'times' is required beside every: how often") end
  if t.times and not t.every then fail(5, who .. ": option 'times' needs every: how long between them") end
  if t.times and (t.times < 1 or t.times % 1 ~= 0 or t.times > 1000) then fail(5, ("%s: option 'times': a whole number from 1 to 1000 expected, got %s"):format(who, tostring(t.times))) end
end

words.followup = two_part("followup", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.followup, 3)
  if not language.header then fail(3, who .. ": the file must begin with `playbook \"name\" { … }`") end
  check_when(who, t)
  if t.run and t.manual then fail(3, who .. ": has both run and manual: who does it?") end
  local gated = t.gate or t.role or t.manual -- what a person does is a question to them: nothing waits in a process for a month
  if not t.run and not t.manual and not t.template and not t.text and not gated then fail(3, who .. ": has nothing to do: give it run, manual, template or a gate") end
  if t.template and t.text then fail(3, who .. ": has both template and text: which is posted?") end
  if (t.template or t.text) and not t.to then fail(3, ("%s: option 'to' is required beside %s: the channels"):format(who, t.text and "text" or "template")) end
  local file, line = host.where()
  local entry = { kind = kind, name = name, t = t, file = file, line = line, items = {}, when = t.at and language.date(who, "at", t.at, 3), slug = slug_of(name) }
  local works = t.run or t.template or t.text
  if gated then
    local gate = {}
    for key, value in pairs(t.gate or {}) do gate[key] = value end
    gate.role, gate.owner = gate.role or t.role, t.owner
    gate.ask = gate.ask or t.ask or (t.manual and t.manual .. " - done?" or ("Go on with \"%s\"?"):format(name))
    entry.items[1] = off_track("gate", works and name .. ": go" or name, gate)
  end
  if works then
    local step = { owner = t.owner, run = t.run, takes = t.takes, timeout = t.timeout, retry = t.retry, idempotent = t.idempotent, observe = t.observe }
    if not t.run then step.run = function() return {} end end
    step.undo = t.undo or (gated and words.keep "people let it run" or nil)
    local item = off_track("step", name, step)
    item.posts = (t.template or t.text) and { template = t.template, text = t.text, to = t.to } or nil
    entry.items[#entry.items + 1] = item
  end
  language.followups[#language.followups + 1] = entry
end)

-- What people have to do after a rollback, each by a time counted from its end. Told, not run.
language.after_rollback = {}

words.on_rollback = two_part("on_rollback", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.on_rollback, 3)
  if not language.header then fail(3, who .. ": the file must begin with `playbook \"name\" { … }`") end
  if not t.tasks or #t.tasks == 0 then fail(3, who .. ": option 'tasks' is required: { { \"what\", by = \"1h\" }, … }") end
  for i, task in ipairs(t.tasks) do
    local which = ("%s: task %d"):format(who, i)
    if type(task) ~= "table" or type(task[1]) ~= "string" then fail(3, which .. ": { \"what\", by = \"1h\" } expected, got " .. host.type_word(task)) end
    check_options(which, task, options.on_rollback_task, 3)
  end
  local file, line = host.where()
  language.after_rollback[#language.after_rollback + 1] = { kind = kind, name = name, t = t, file = file, line = line }
end)

-- Roles that only the whole header shows.
language.late_checks[#language.late_checks + 1] = function(add)
  local roles = language.header.t.roles
  local function known(at, option, role)
    if roles and role and not roles[role] then
      add(at, ("%s: option '%s': no role '%s'%s"):format(label(at.kind, at.name), option, role, host.did_you_mean(role, roles)))
    end
  end
  for _, entry in ipairs(language.followups) do
    known(entry, "owner", entry.t.owner)
    known(entry, "role", entry.t.role)
  end
  for _, entry in ipairs(language.after_rollback) do
    known(entry, "owner", entry.t.owner)
    for _, task in ipairs(entry.t.tasks) do known(entry, "owner", task.owner) end
  end
end

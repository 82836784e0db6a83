-- What has to do with dates and with telling people: `notice`, `history`, and the header's `start`, `updates` and `goals`.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, check_options = language.fail, language.label, language.check_options
local two_part, dates = language.two_part, language.dates

language.notices = {}

-- A date of an option, parsed; refused where it is none. `relative`: whether "T-7d" may stand there.
function language.date(who, key, text, level, relative)
  local parsed, problem = dates.parse(text)
  if not parsed then fail(level + 1, ("%s: option '%s': %s"):format(who, key, problem)) end
  if parsed.kind == "offset" and not relative then
    fail(level + 1, ("%s: option '%s': '%s' counts from the start itself: write Thursday 07:00 Europe/Berlin"):format(who, key, text))
  end
  return parsed
end

local function list_of(value) return type(value) == "table" and value or { value } end
language.list_of = list_of

-- A template beside the playbook (or in the folder of `updates.templates`): its text, or nil and the path. The text is that of
-- the moment when the file was loaded, and pinned with the run.
function language.template(name)
  local folder = ((language.header or { t = {} }).t.updates or {}).templates
  if type(folder) ~= "string" then folder = "" end
  if folder ~= "" and folder:sub(-1) ~= "/" then folder = folder .. "/" end
  local path = folder .. name
  return host.template_text(path), path
end

local posts = { "started", "update", "rollback", "rolled_back", "held", "failed", "done" }
local post_names = {}
for _, kind in ipairs(posts) do post_names[kind] = true end

-- The text of a post of `updates` on a channel: its own, else that of all; nil where the playbook gives none.
function language.post_template(kind, channel)
  local templates = language.header.t.updates.templates
  if type(templates) == "string" then return language.template(("%s/%s.md"):format(channel, kind)) or (language.template(kind .. ".md")) end
  local own = templates and templates[channel]
  return templates and (type(own) == "table" and own[kind] or templates[kind])
end

-- Every channel that `updates` names.
local function update_channels(updates)
  local names = {}
  local function add(value)
    for _, name in ipairs(value and list_of(value) or {}) do names[name] = true end
  end
  add(updates.to)
  for _, kind in ipairs(posts) do add((updates.also or {})[kind]) end
  add(updates.status_page == true and "status_page" or updates.status_page or nil)
  return names
end

local function check_templates(who, updates)
  local templates = updates.templates
  if templates == nil or type(templates) == "string" then return end
  if type(templates) ~= "table" then fail(5, ("%s: option 'templates': a folder, or a table of texts expected, got %s"):format(who, host.type_word(templates))) end
  local channels = update_channels(updates)
  local function check(where, table, further)
    for _, key in ipairs(host.sorted_keys(table)) do
      local value = table[key]
      if further and channels[key] and type(value) == "table" then check(where .. "." .. key, value)
      elseif not post_names[key] then
        fail(6, ("%s: option '%s': no post '%s'%s"):format(who, where, tostring(key), host.did_you_mean(tostring(key), post_names)))
      elseif type(value) ~= "string" then
        fail(6, ("%s: option '%s.%s': text expected, got %s"):format(who, where, key, host.type_word(value)))
      end
    end
  end
  check("templates", templates, true)
end

-- Reads every template that the run may come to, so that all are pinned.
function language.read_templates()
  local updates = language.header and language.header.t.updates
  if updates and type(updates.templates) == "string" then
    for _, kind in ipairs(posts) do
      language.template(kind .. ".md")
      for _, channel in ipairs(host.sorted_keys(update_channels(updates))) do language.template(("%s/%s.md"):format(channel, kind)) end
    end
  end
  for _, list in ipairs { language.notices, language.followups } do
    for _, entry in ipairs(list) do
      if entry.t.template then language.template(entry.t.template) end
    end
  end
end

local goal_targets = { "below", "above", "is" }

local function check_goal(who, i, goal)
  if type(goal) ~= "table" then fail(5, ("%s: goal %d: { \"name\", below = …, of = function(run) … end } expected, got %s"):format(who, i, host.type_word(goal))) end
  local name = ("%s: goal %d%s"):format(who, i, type(goal[1]) == "string" and (" \"%s\""):format(goal[1]) or "")
  if type(goal[1]) ~= "string" then fail(5, name .. ": its name is missing: { \"downtime\", below = \"30m\", of = … }") end
  check_options(name, goal, options.goal, 5)
  if not goal.of then fail(5, name .. ": option 'of' is required: function(run) return … end") end
  local found
  for _, key in ipairs(goal_targets) do
    if goal[key] ~= nil then
      if found then fail(5, ("%s: has both %s and %s: give it one target"):format(name, found, key)) end
      found = key
    end
  end
  if not found then fail(5, name .. ": has no target: give it below, above or is") end
  local target = goal[found]
  if found ~= "is" and type(target) == "string" and not host.parse_duration(target) then
    fail(5, ("%s: option '%s': a number or a duration such as 200ms expected, got '%s'"):format(name, found, target))
  end
end

-- Called by `playbook` with its table.
function language.check_times(who, t)
  if t.start then language.date(who, "start", t.start, 4) end
  local given = host.given().start
  if given ~= "" then
    local parsed, problem = dates.parse(given)
    if not parsed or parsed.kind == "offset" then
      host.raise_usage("--start: " .. (problem or ("'%s' counts from the start itself"):format(given)),
        "write --start \"Thursday 07:00 Europe/Berlin\" or --start \"2026-11-20 22:00 Europe/Berlin\"")
    end
  end
  local overdue = t.window and t.window.overdue
  if overdue ~= nil then
    if not language.is(overdue, language.Verdict) or overdue.verdict ~= "ask" then
      fail(4, ("%s: window: option 'overdue': ask \"role\" expected, got %s"):format(who, host.type_word(overdue)))
    end
    if not t.window.target then fail(4, who .. ": window: option 'overdue' needs 'target': longer than what") end
  end
  if t.updates then
    local name = who .. ": updates"
    check_options(name, t.updates, options.updates, 4)
    if t.updates.also then check_options(name .. ": also", t.updates.also, options.updates_also, 4) end
    for _, key in ipairs { "every", "in_rollback" } do
      if t.updates[key] and host.parse_duration(t.updates[key]) <= 0 then fail(4, ("%s: option '%s': more than nothing expected, got '%s'"):format(name, key, t.updates[key])) end
    end
    if not t.updates.to then fail(4, name .. ": option 'to' is required: the channels") end
    check_templates(name, t.updates)
    local page = t.updates.status_page
    if page ~= nil and type(page) ~= "boolean" and type(page) ~= "string" then
      fail(4, ("%s: option 'status_page': true, or the name of a channel expected, got %s"):format(name, host.type_word(page)))
    end
  end
  for i, goal in ipairs(t.goals or {}) do check_goal(who, i, goal) end
end

words.notice = two_part("notice", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.notice, 3)
  if not language.header then fail(3, who .. ": the file must begin with `playbook \"name\" { … }`") end
  for _, other in ipairs(language.notices) do
    if other.name == name then fail(3, ("%s: declared twice, first at line %d"):format(who, other.line)) end
  end
  if not t.to then fail(3, who .. ": option 'to' is required: the channels") end
  if (t.text == nil) == (t.template == nil) then fail(3, who .. ": give it either text or template") end
  if (t.at == nil) == (t.after == nil) then fail(3, who .. ": give it either at (a date) or after (a duration, from the start)") end
  local file, line = host.where()
  language.notices[#language.notices + 1] = { kind = kind, name = name, t = t, file = file, line = line,
    when = t.at and language.date(who, "at", t.at, 3, true) or { kind = "offset", seconds = host.parse_duration(t.after) } }
end)

-- Facts from earlier runs of the same playbook. Each returns a function that a probe can call.
local facts = {}
words.history = setmetatable({}, { __metatable = false,
  __index = function(_, key)
    if not facts[key] then host.raise("load", ("history has no '%s'%s"):format(tostring(key), host.did_you_mean(tostring(key), facts)), nil, 2) end
    return facts[key]
  end,
  __newindex = function() host.raise("load", "history cannot be changed", nil, 2) end })

local function question(name, t, level)
  local who = "history." .. name
  if type(t) ~= "table" then fail(level + 1, ("%s: a table { env = …, within = … } expected, got %s"):format(who, host.type_word(t))) end
  check_options(who, t, options["history_" .. name], level + 1)
  return t
end
function facts.rehearsed(t)
  question("rehearsed", t, 2)
  return function() return language.past.rehearsed(t) end
end
function facts.rolled_back(t)
  question("rolled_back", t, 2)
  return function() return language.past.rolled_back(t) end
end
function facts.last(t)
  question("last", t or {}, 2)
  if host.loading() then fail(2, "history.last: has no value while the file loads", "use it inside a function that runs later") end
  return language.past.last(t or {})
end

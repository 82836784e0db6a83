-- The header's `schedule`: when `runbook due FILE` starts the playbook by itself. Made into plain data here; when that is, and what
-- was missed, is C++ (runtime/engine/schedule.h), because it is asked without a run.
local language = ...
local host, options = language.host, language.options
local fail, check_options, dates = language.fail, language.check_options, language.dates

local minute = 60

-- "02:00 Europe/Berlin", "Sunday 03:00 UTC", "day 1 03:00 UTC", "last day 03:00 UTC": a moment that comes again and again.
local function moment(who, text, level)
  if type(text) ~= "string" then fail(level + 1, ("%s: option 'at': a time such as 02:00 Europe/Berlin expected, got %s"):format(who, host.type_word(text))) end
  local day, rest = nil, text
  local number, after = text:match "^day%s+(%d+)%s+(.+)$"
  if number then
    day, rest = tonumber(number), after
    if day < 1 or day > 28 then
      fail(level + 1, ("%s: option 'at': '%s': a day from 1 to 28 expected, or last day: not every month has a day %d"):format(who, text, day))
    end
  elseif text:match "^last%s+day%s" then
    day, rest = -1, text:match "^last%s+day%s+(.+)$"
  end
  local parsed, problem = dates.parse(rest)
  if not parsed then fail(level + 1, ("%s: option 'at': %s"):format(who, problem)) end
  if parsed.kind ~= "next" or day and parsed.weekday then
    fail(level + 1, ("%s: option 'at': '%s' does not come again: write 02:00 Europe/Berlin, Sunday 03:00 UTC, day 1 03:00 UTC or last day 03:00 UTC"):format(who, text))
  end
  return { weekday = parsed.weekday, day = day, hour = parsed.clock.hour, minute = parsed.clock.minute, second = parsed.clock.second, zone = parsed.zone }
end

local function every_of(who, text, level)
  local seconds = host.parse_duration(text)
  if seconds < 1 or seconds % 1 ~= 0 then fail(level + 1, ("%s: option 'every': whole seconds from 1s up expected, got '%s'"):format(who, tostring(text))) end
  return seconds
end

-- Values of the parameters, as they would stand on the command line.
local function parameters_of(who, given, declared, level)
  local list = {}
  for _, name in ipairs(host.sorted_keys(given or {})) do
    local value, known = given[name], declared[name]
    if not known then fail(level + 1, ("%s: params: the playbook has no parameter '%s'%s"):format(who, tostring(name), host.did_you_mean(tostring(name), declared))) end
    if known[1] == "secret" then fail(level + 1, ("%s: params: '%s' is a secret: give it a source (from = \"env:NAME\")"):format(who, name)) end
    if type(value) == "table" then value = table.concat(value, ",") end
    if type(value) ~= "string" and type(value) ~= "number" and type(value) ~= "boolean" then
      fail(level + 1, ("%s: params: '%s': text, a number, true, false or a list expected, got %s"):format(who, name, host.type_word(value)))
    end
    local problem = language.params.wrong(known, tostring(value))
    if problem then fail(level + 1, ("%s: params: '%s': %s, got '%s'"):format(who, name, problem, tostring(value))) end
    list[#list + 1] = { (name:gsub("_", "-")), tostring(value) }
  end
  return list
end

local function one(who, t, declared, level)
  if type(t) == "string" then t = { at = t } end
  if type(t) ~= "table" then fail(level + 1, ("%s: { at = \"02:00 Europe/Berlin\" } or { every = \"1h\" } expected, got %s"):format(who, host.type_word(t))) end
  check_options(who, t, options.schedule, level + 1)
  if (t.at == nil) == (t.every == nil) then fail(level + 1, who .. ": give it either at (02:00 Europe/Berlin) or every (1h)") end
  local made = { name = t.name, late_s = t.late and host.parse_duration(t.late) or 60 * minute, run_once = t.missed == "run once",
    parameters = parameters_of(who, t.params, declared, level + 1), missed = t.missed or "skip" }
  if t.missed ~= nil and t.missed ~= "skip" and t.missed ~= "run once" then
    fail(level + 1, ("%s: option 'missed': skip or run once expected, got '%s'"):format(who, t.missed))
  end
  if t.late and made.run_once then fail(level + 1, who .. ": has both late and missed = \"run once\": that one is started however late it is") end
  if t.every then
    made.every_s, made.text = every_of(who, t.every, level + 1), "every " .. t.every
  else
    local texts = language.list_of(t.at)
    if #texts == 0 then fail(level + 1, who .. ": option 'at': names no time") end
    made.moments = {}
    for i, text in ipairs(texts) do made.moments[i] = moment(who, text, level + 1) end
    made.text = "at " .. table.concat(texts, ", ")
  end
  if t.from then
    local parsed = language.date(who, "from", t.from, level + 1)
    if parsed.kind ~= "instant" then fail(level + 1, ("%s: option 'from': a date such as 2026-11-20 22:00 Europe/Berlin expected, got '%s'"):format(who, t.from)) end
    made.from, made.text = parsed.at, ("%s, from %s"):format(made.text, t.from)
  end
  return made
end

-- Called by `playbook` with its table: the schedules, as a list.
function language.check_schedules(who, name, t)
  local given = t.schedule
  if given == nil then return {} end
  local many = type(given) == "table" and #given > 0
  local list, seen = {}, {}
  for i, entry in ipairs(many and given or { given }) do
    local which = who .. (many and (": schedule %d"):format(i) or ": schedule")
    local made = one(which, entry, t.params or {}, 4)
    if many and not made.name then fail(4, which .. ": option 'name' is required where there are several") end
    made.slug = language.slug(name)
    made.part = made.name and language.slug(made.name) or nil
    if made.part and seen[made.part] then fail(4, ("%s: option 'name': '%s' stands twice"):format(which, made.name)) end
    seen[made.part or ""] = true
    list[i] = made
  end
  return list
end

-- A scheduled run is left alone: a question whose silence has an effect would stop every one of them.
language.late_checks[#language.late_checks + 1] = function(add, _, track)
  if #language.header.schedules == 0 then return end
  local item, who, otherwise = language.asked.left_alone(track)
  if item then
    add(item, ("%s leads to '%s' when nobody answers within %s: a playbook with a schedule is started without anybody who would do it; say otherwise = \"hold\" there"):format(
      language.label(item.kind, item.name), otherwise, host.duration_text(who.within_s)))
  end
end

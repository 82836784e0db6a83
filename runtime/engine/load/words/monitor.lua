-- `monitor` and what stands in its rules: what is watched beside later steps, checked while the file loads.
local language = ...
local host, options, words = language.host, language.options, language.words
local fail, label, is, check_options = language.fail, language.label, language.is, language.check_options
local declare, two_part, new_handle = language.declare, language.two_part, language.new_handle
local levels, known_units = language.levels, language.known_units

-- The name that the playbook knows a function by: the field of a local table, or the local itself.
local function name_of(fn)
  for depth = 3, 12 do
    local info = debug.getinfo(depth, "S")
    if not info then return nil end
    for i = 1, info.source:sub(1, 1) == "@" and 250 or 0 do
      local name, value = debug.getlocal(depth, i)
      if not name then break end
      if value == fn then return name end
      if type(value) == "table" then
        for key, field in next, value do
          if rawequal(field, fn) and type(key) == "string" then return key, name end
        end
      end
    end
  end
end

local function positive(who, key, value, whole)
  if value ~= nil and (value <= 0 or whole and value % 1 ~= 0) then
    fail(6, ("%s: option '%s': %s above 0 expected, got %g"):format(who, key, whole and "a whole number" or "a number", value))
  end
end

local function verdict_at(who, value, not_here)
  local verdict, problem = language.as_verdict(value)
  if not verdict then fail(6, ("%s: %s"):format(who, problem)) end
  if verdict.verdict == "repair" then fail(6, ("%s: repair is for checkpoints: a monitor has nothing to judge again"):format(who)) end
  if not_here and verdict.verdict == not_here then fail(6, ("%s: %s is no answer to missing data"):format(who, not_here)) end
  return verdict
end

-- What the rule's sample is called: as the playbook says, as the playbook knows it, as it calls itself.
local function sample_name(t, names)
  local name = t.name
  if not name then
    local own, of = name_of(t[1])
    name = own or type(t[1]) == "table" and type(rawget(t[1], "name")) == "string" and rawget(t[1], "name") or nil
    if name and names[name] and names[name] ~= t[1] and of then name = of .. "_" .. name end
    for i = 1, 99 do
      if name and (not names[name] or names[name] == t[1]) then break end
      name = "sample_" .. i
    end
  end
  names[name] = t[1]
  return name
end

-- What the sample counts in: as the sample itself says (those of `watch` do), or the rule.
local function unit_of(who, t, name)
  local own = type(t[1]) == "table" and rawget(t[1], "unit") or nil
  if t.unit and not known_units[t.unit] and t.unit ~= own then
    fail(6, ("%s: option 'unit': seconds, ratio, bytes, per_second or count expected, got '%s'%s"):format(who, t.unit, host.did_you_mean(t.unit, known_units)))
  end
  if t.unit and own and t.unit ~= own then fail(6, ("%s: option 'unit': %s counts in %s, not in %s"):format(who, name, own, t.unit)) end
  return t.unit or own
end

-- The verdict of each level: one for all, or { warning =, critical = } as the levels are.
local function verdicts_of(who, t, list)
  if t.verdict == nil then fail(6, who .. ": option 'verdict' is required: what follows") end
  local each = type(t.verdict) == "table" and not is(t.verdict, language.Verdict) and t.verdict
  if each and not list[1].severity then fail(6, who .. ": option 'verdict': one verdict expected: the rule has one level") end
  for key in pairs(each or {}) do
    if key ~= "warning" and key ~= "critical" then fail(6, ("%s: option 'verdict': unknown option '%s'%s"):format(who, tostring(key), host.did_you_mean(tostring(key), { warning = 1, critical = 1 }))) end
  end
  local found = {}
  for i, one in ipairs(list) do
    local value = t.verdict
    if each then value = each[one.severity] end
    if value == nil then fail(6, ("%s: option 'verdict': %s is missing: what follows then"):format(who, one.severity)) end
    found[i] = verdict_at(who, value)
  end
  return found
end

-- The rules that one table says: one, or with warning and critical levels two.
local function build_rules(who, t, names, into)
  if type(t) ~= "table" then fail(5, ("%s: { sample, above = …, verdict = … } expected, got %s"):format(who, host.type_word(t))) end
  check_options(who, t, options.monitor_rule, 5)
  if type(t[1]) ~= "function" and not (type(t[1]) == "table" and getmetatable(t[1]) and getmetatable(t[1]).__call) then
    fail(5, ("%s: a function that samples expected first, got %s"):format(who, host.type_word(t[1])))
  end
  local name = sample_name(t, names)
  local unit = unit_of(who, t, name)
  local kind, list = levels(t, known_units[unit] and unit, name)
  if not kind then fail(5, ("%s: %s"):format(who, list)) end
  local verdicts = verdicts_of(who, t, list)
  positive(who, "times", t.times, true)
  positive(who, "requests", t.requests)
  if t.over and kind == "is" then fail(5, who .. ": option 'over' sums numbers, and 'is' compares one value") end
  if unit == "boolean" and kind ~= "is" then fail(5, ("%s: option '%s': %s says true or false: write is = false"):format(who, kind, name)) end
  for i, one in ipairs(list) do
    into[#into + 1] = { sample = t[1], name = name, unit = unit, kind = kind, level = one.level, severity = one.severity, verdict = verdicts[i],
      sustained = t.sustained and host.parse_duration(t.sustained), times = t.times, requests = t.requests, over = t.over and host.parse_duration(t.over) }
  end
end

local function no_data_of(who, value, rules)
  local after = 3
  if type(value) == "table" and not is(value, language.Verdict) then
    after = value.after or after
    if type(after) ~= "number" or after < 1 or after % 1 ~= 0 then fail(5, who .. ": no_data: 'after': a whole number above 0 expected, got " .. tostring(after)) end
    for key in pairs(value) do
      if key ~= 1 and key ~= "after" then fail(5, ("%s: no_data: unknown option '%s'%s"):format(who, tostring(key), host.did_you_mean(tostring(key), { after = 1 }))) end
    end
    value = value[1]
  end
  if value ~= nil then return verdict_at(who .. ": no_data", value, "cancel_statement"), after end
  local worst
  for _, rule in ipairs(rules) do
    if not worst or rule.verdict.severity > worst.severity then worst = rule.verdict end
  end
  return worst.verdict == "cancel_statement" and words.ask() or worst, after
end

words.monitor = two_part("monitor", function(kind, name, t)
  local who = label(kind, name)
  check_options(who, t, options.monitor, 3)
  for _, key in ipairs { "from", "every" } do
    if not t[key] then fail(3, ("%s: option '%s' is required: %s"):format(who, key, key == "from" and "the step that it begins with" or "how often it looks")) end
  end
  if t.to and t.lasts then fail(3, who .. ": both 'to' and 'lasts': it ends with a step or after a time") end
  if not t.to and not t.lasts then fail(3, who .. ": 'to' or 'lasts' is required: when it ends") end
  if host.parse_duration(t.every) <= 0 then fail(3, who .. ": option 'every': more than 0 expected") end
  if #t == 0 then fail(3, who .. ": has no rules") end
  local rules, names = {}, {}
  for i = 1, #t do build_rules(("%s: rule %d"):format(who, i), t[i], names, rules) end
  local no_data, after = no_data_of(who, t.no_data, rules)
  local item = declare(kind, name, t, 3)
  item.rules, item.no_data, item.no_data_after, item.every_s = rules, no_data, after, host.parse_duration(t.every)
  return new_handle(item)
end)

-- Where a verdict names a step: it is there, and the run has been at it by then. `by` is the item that it stands in.
local function check_redo(add, names, by, verdict)
  if not verdict or verdict.verdict ~= "redo" then return end
  local who, target = label(by.kind, by.name), names[verdict.step]
  if not target or target.kind == "monitor" then
    add(by, ("%s: redo: no step '%s'%s"):format(who, verdict.step, host.did_you_mean(verdict.step, names)))
  else
    local reached = by.kind == "monitor" and names[by.t.to or by.t.from] or by
    if reached and target.index > reached.index then add(by, ("%s: redo: '%s' comes after it"):format(who, verdict.step)) end
  end
end

language.late_checks[#language.late_checks + 1] = function(add, names, track)
  for _, item in ipairs(track) do
    local who = label(item.kind, item.name)
    if item.kind == "monitor" then
      for _, key in ipairs { "from", "to" } do
        local named = item.t[key]
        if named and (not names[named] or names[named].kind == "monitor") then
          add(item, ("%s: option '%s': no step '%s'%s"):format(who, key, named, host.did_you_mean(named, names)))
        end
      end
      local from, to = names[item.t.from], names[item.t.to or ""]
      if from and to and to.index < from.index then add(item, ("%s: option 'to': '%s' comes before '%s'"):format(who, item.t.to, item.t.from)) end
      for _, rule in ipairs(item.rules) do check_redo(add, names, item, rule.verdict) end
      if item.t.no_data ~= nil then check_redo(add, names, item, item.no_data) end
    elseif item.kind == "checkpoint" then
      for _, row in ipairs(item.t.fail or {}) do check_redo(add, names, item, row[1]) end
      check_redo(add, names, item, (item.t.fail or {}).otherwise)
    end
  end
end

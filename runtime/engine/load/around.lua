-- What stands around the run in time, as data for the plan: T, notices, updates, follow-ups, schedules, what people do after a
-- rollback, and what is wanted ahead of T. With dates where T is known. Adds program.around.
local host, program = ...

local function seconds(value) return value and host.parse_duration(value) or nil end
local function list_of(value) return value and program.list_of(value) or {} end
local function title(role)
  local roles = program.header().t.roles or {}
  return role and (roles[role] or role) or nil
end

-- T as far as the file and --start know it: {text, at}; nil where it is the beginning of the run.
local function start_of(header)
  local text = host.given().start
  if text == "" then text = header.t.start end
  if not text then return nil end
  return { text = text, at = program.dates.instant((program.dates.parse(text)), 0, host.now()) }
end

-- How an event at a parsed date is told: {when, at_s (from T), at (ISO)}.
local function dated(parsed, text, start)
  local at = parsed.kind == "instant" and parsed.at or start and parsed.kind == "offset" and start.at + parsed.seconds or nil
  return { when = text, at_s = parsed.kind == "offset" and parsed.seconds or nil, at = at and host.iso(at) or nil, instant = at }
end

local function with(base, more)
  for key, value in pairs(more) do base[key] = value end
  return base
end

local function notices(start)
  local list = {}
  for _, notice in ipairs(program.notices) do
    local t = notice.t
    list[#list + 1] = with(dated(notice.when, t.at or "T+" .. t.after, start), { kind = "notice", name = notice.name, owner = t.owner, line = notice.line,
      to = list_of(t.to), text = t.text, template = t.template, what = "to " .. table.concat(list_of(t.to), ", ") })
  end
  return list
end

-- Checklists that are due, and gates that are planned, before or at T.
local function wanted(start)
  local list = {}
  for _, item in ipairs(program.track) do
    local text = item.t.due or item.t.at
    if text then
      local roles, there = {}, {}
      local function add(role)
        if role and not there[role] then there[role], roles[#roles + 1] = true, role end
      end
      for _, entry in ipairs(item.kind == "checklist" and item.t or {}) do
        for _, role in ipairs(list_of(entry.role)) do add(role) end
      end
      for _, role in ipairs(item.kind == "gate" and list_of(item.t.all_of or item.t.role) or {}) do add(role) end
      list[#list + 1] = with(dated((program.dates.parse(text)), text, start), { kind = item.kind, name = item.name, owner = item.t.owner, line = item.line, roles = roles,
        what = item.kind == "gate" and "asks " .. (#roles > 0 and table.concat(roles, ", ") or "anyone")
          or #roles > 0 and "confirmed by " .. table.concat(roles, ", ") or "looked at by the machine" })
    end
  end
  return list
end

local function followups()
  local list = {}
  for _, entry in ipairs(program.followups) do
    local t, what = entry.t, {}
    local when = t.every and ("every %s, %d times%s"):format(t.every, t.times, t.after and ", the first " .. t.after .. " after the run" or "")
      or t.at and ("%s, the first after the run"):format(t.at) or t.after .. " after the run"
    local gate = entry.items[1] and entry.items[1].kind == "gate" and entry.items[1]
    if gate and not t.manual then
      local who = program.asked.gate(gate)
      what[#what + 1] = ('asks %s: "%s"'):format(#who.roles > 0 and table.concat(who.roles, ", ") or "anyone", tostring(gate.t.ask))
    end
    if t.manual then what[#what + 1] = "by hand: " .. t.manual end
    if t.run then what[#what + 1] = "runs" end
    if t.text then what[#what + 1] = ("posts to %s"):format(table.concat(list_of(t.to), ", ")) end
    if t.template then what[#what + 1] = ("posts %s to %s"):format(t.template, table.concat(list_of(t.to), ", ")) end
    list[#list + 1] = { name = entry.name, when = when, owner = t.owner or t.role, owner_title = title(t.owner or t.role), what = table.concat(what, "; "), line = entry.line,
      after_s = seconds(t.after or t.every), every_s = seconds(t.every), times = t.times, at = t.at }
  end
  return list
end

local function tasks()
  local list = {}
  for _, entry in ipairs(program.after_rollback) do
    for _, task in ipairs(entry.t.tasks) do
      local owner = task.owner or entry.t.owner
      list[#list + 1] = { list = entry.name, text = task[1], by = task.by, by_s = seconds(task.by), owner = owner, owner_title = title(owner), line = entry.line }
    end
  end
  return list
end

local function updates(t)
  if not t then return nil end
  local also = {}
  for key, value in pairs(t.also or {}) do also[key] = list_of(value) end
  return { to = list_of(t.to), also = also, every = t.every, every_s = seconds(t.every), in_rollback = t.in_rollback,
    status_page = t.status_page == true and "status_page" or t.status_page or nil }
end

-- {start, ahead, updates, followups, after_rollback, schedules}; `ahead`: notices, checklists and gates in the order of their dates.
function program.around()
  local header = program.header()
  local start = start_of(header)
  local ahead = notices(start)
  for _, one in ipairs(wanted(start)) do ahead[#ahead + 1] = one end
  for i, one in ipairs(ahead) do one.order = i end
  local function place(one) return start and (one.instant or 0) or one.at_s or 0 end
  table.sort(ahead, function(a, b)
    if place(a) ~= place(b) then return place(a) < place(b) end
    return a.order < b.order
  end)
  for _, one in ipairs(ahead) do one.order, one.instant = nil, nil end
  return { start = start and { text = start.text, at = host.iso(start.at) } or nil, ahead = ahead, updates = updates(header.t.updates), followups = followups(),
    after_rollback = tasks(), schedules = header.schedules }
end

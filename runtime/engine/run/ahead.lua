-- A run that was created ahead of T (`exec --ahead`), and the reminders of what is due before it. Such a run is held at once; notices,
-- reminders and confirmations go on without a process. `runbook due`, or a person, goes on with it at the first planned gate, else
-- at T; no step begins before T.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local scheduled, settled = {}, {} -- by name: the instant of a reminder; whether it was posted or dropped
local planned, begun = false, false

local function minute(at) return host.iso(at):sub(1, 16):gsub("T", " ") .. " UTC" end

-- Whether this process only creates the run and leaves it.
function M.leaving() return host.given().ahead == true and not planned end
-- Whether no step may begin before T.
function M.waits_for_start() return planned end
-- Whether the run really begins with this process, although it was created earlier.
function M.begins_now() return planned and begun == "now" end

-- Before anything is journaled: is T known, and still to come?
function M.check()
  local text = host.given().start
  if text == "" then text = program.header().t.start end
  if not text then host.raise_usage("--ahead: T is not known", "give --start \"Friday 22:00 Europe/Berlin\", or start in the header") end
  local at = program.dates.instant((program.dates.parse(text)), 0, host.now())
  if at <= host.now() then host.raise_usage(("--ahead: T, %s, has passed"):format(minute(at)), "give a --start that is still to come, or leave --ahead away") end
end

-- When somebody has to go on: at the first gate that is planned before the first step, else at T.
local function wakes_at()
  local at = engine.time.T
  for _, item in ipairs(program.track) do
    if (item.kind == "step" or item.kind == "checkpoint") and item.t.on ~= "rollback" then break end
    if item.kind == "gate" and item.t.at then at = math.min(at, program.dates.instant((program.dates.parse(item.t.at)), engine.time.T)) end
  end
  return at
end

local function needs_people() return (program.asked.left_alone(program.track)) ~= nil or (engine.monitor.unwatched(program.track)) ~= nil end

local function confirmed(item)
  local roles, there = {}, {}
  for _, entry in ipairs(item.t) do
    for _, role in ipairs(entry.__class == "confirm" and program.list_of(entry.role) or {}) do
      if not there[role] then there[role], roles[#roles + 1] = true, role end
    end
  end
  return roles
end

local function schedule(name, at, what)
  if scheduled[name] or at <= host.now() then return end -- what is past is asked when the run gets there, which is now
  scheduled[name] = at
  host.append("reminder.scheduled", "", { reminder = name, at = host.iso(at), what = what, why = ("\"%s\" for %s"):format(name, host.iso(at)) })
end

function M.restore(history)
  for _, event in ipairs(history) do
    local kind, name = event.event, event.data.reminder
    if kind == "run.planned" then planned = true
    elseif kind == "run.begun" then begun = true
    elseif kind == "reminder.scheduled" then scheduled[name] = host.parse_time(event.data.at)
    elseif kind == "reminder.posted" or kind == "reminder.dropped" then settled[name] = true end
  end
end

-- A process takes the run up. `mode` as in main.
function M.begin(mode)
  for _, item in ipairs(program.track) do
    if item.kind == "checklist" and item.t.due and #confirmed(item) > 0 then
      schedule(item.name, program.dates.instant((program.dates.parse(item.t.due)), engine.time.T), ("%s, by %s"):format(item.t.due, table.concat(confirmed(item), ", ")))
    end
  end
  if M.leaving() then
    local at = wakes_at()
    if needs_people() then schedule("start", at, "somebody goes on with the run") end
  elseif planned and not begun and mode ~= "rollback" then
    begun = "now"
    host.append("run.begun", "", { by = host.user(), why = "created ahead of T" })
  end
end

-- Holds the run that was created ahead. Returns exit and outcome.
function M.leave()
  local at = wakes_at()
  local how = needs_people() and ("somebody goes on with it at %s: runbook resume %s"):format(minute(at), host.run_id())
    or ("`runbook due` goes on with it at %s"):format(minute(at))
  host.append("run.planned", "", { at = host.iso(engine.time.T), wakes = host.iso(at), why = ("for %s"):format(minute(engine.time.T)) })
  engine.time.hold_until(at)
  return engine.ending.held(("planned for %s; %s"):format(minute(engine.time.T), how))
end

-- What a reminder says, or nil and why there is nothing to remind of.
local function words(name)
  local header = program.header()
  if name == "start" then
    if begun then return nil, "the run has begun" end
    return ("%s: it is time. T is %s; somebody has to go on with the run: runbook resume %s"):format(header.name, minute(engine.time.T), host.run_id())
  end
  local item = program.names[name]
  if not item or item.status == "finished" then return nil, "the list is passed" end
  local open, roles = {}, header.t.roles or {}
  for _, entry in ipairs(engine.checklist.unanswered(item)) do
    local who = {}
    for i, role in ipairs(program.list_of(entry.role)) do who[i] = roles[role] or role end
    open[#open + 1] = ("- %s (%s): runbook confirm %s %q"):format(entry.text, table.concat(who, " or "), host.run_id(), program.asked.subject(item, entry))
  end
  if #open == 0 then return nil, "everything is confirmed" end
  return ("%s: \"%s\" was due at %s (%s), and waits for:\n%s"):format(header.name, name, minute(scheduled[name]), item.t.due, table.concat(open, "\n"))
end

function M.reminds() return next(scheduled) ~= nil end

-- Posts the reminders that are due; returns the instant of the next one, or nil.
function M.post_due()
  local next_at
  for _, name in ipairs(host.sorted_keys(scheduled)) do
    local at = scheduled[name]
    if not settled[name] and at <= host.now() then
      settled[name] = true
      local text, nothing = words(name)
      if text then
        engine.outbox.post({ key = ("%s/reminder/%s"):format(host.run_id(), name), text = text, title = program.header().name, level = "warning", about = "reminder",
          data = { reminder = name } }, engine.outbox.updates_to())
      end
      host.append(text and "reminder.posted" or "reminder.dropped", "", { reminder = name, at = host.iso(at), why = text or ("\"%s\": %s"):format(name, nothing) })
    elseif not settled[name] then next_at = math.min(next_at or at, at) end
  end
  return next_at
end

return M

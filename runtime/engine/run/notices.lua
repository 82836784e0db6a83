-- `notice`: announcements on a date. While a process of the run lives they are posted by a task beside it; while it is held, and
-- after it ended well, by `runbook due`. One that is more than an hour late is not posted: it would no longer be true.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local grace = 3600
local settled = {}   -- names that were posted, failed or missed
local scheduled = {} -- name = instant, as the journal has it
local task

local function key(notice) return ("%s/notice/%s"):format(host.run_id(), notice.name) end

local function text_of(notice)
  local header = program.header()
  local text = notice.t.text or program.template(notice.t.template)
  if not text then host.raise("usage", ("notice \"%s\": its template %s is gone"):format(notice.name, notice.t.template)) end
  return (engine.says.fill(text, { playbook = header.name, summary = header.t.summary or "", run = host.run_id(),
    start = host.iso(engine.time.T):sub(1, 16):gsub("T", " ") .. " UTC" }):gsub("%s+$", ""))
end

function M.restore(history)
  for _, event in ipairs(history) do
    local name = event.data.notice
    if event.event == "notice.scheduled" then scheduled[name] = host.parse_time(event.data.at)
    elseif event.event == "notice.posted" or event.event == "notice.missed" then settled[name] = true end
  end
end

local function post(notice, at)
  settled[notice.name] = true
  local late = host.now() - at
  if late > grace then
    host.append("notice.missed", "", { notice = notice.name, at = host.iso(at), late_s = late,
      why = ("%s was due %s ago: it is not posted any more"):format(program.label("notice", notice.name), host.duration_text(math.floor(late / 60) * 60)) })
    return
  end
  local ok, text = host.try(text_of, notice)
  if not ok then text = nil end
  if text then -- queued before it counts as posted, so that a crash between the two loses nothing
    engine.outbox.post({ key = key(notice), text = text, title = program.header().name, about = "notice", stage = at < engine.time.T and "scheduled" or nil,
      data = { notice = notice.name, scheduled_for = host.iso(engine.time.T), scheduled_until = host.iso(engine.time.T + engine.updates.whole()) } }, program.list_of(notice.t.to))
  end
  host.append("notice.posted", "", { notice = notice.name, at = host.iso(at), why = text or "its text could not be read" })
end

-- Posts notices that are due; returns the instant of the next one, or nil.
function M.post_due()
  local next_at
  for _, notice in ipairs(program.notices) do
    local at = scheduled[notice.name]
    if at and not settled[notice.name] then
      if at <= host.now() then post(notice, at) elseif not next_at or at < next_at then next_at = at end
    end
  end
  return next_at
end

local function wait_and_post()
  while true do
    local next_at, reminder = M.post_due(), engine.ahead.post_due()
    if not next_at and not reminder then return end
    next_at = math.min(next_at or reminder, reminder or next_at)
    host.poll(30, math.max(0.01, next_at - host.now())) -- the wall clock may be set meanwhile
  end
end

function M.begin()
  for _, notice in ipairs(program.notices) do
    if not scheduled[notice.name] then
      local at = program.dates.instant(notice.when, engine.time.T, host.now())
      scheduled[notice.name] = at
      host.append("notice.scheduled", "", { notice = notice.name, at = host.iso(at), what = "to " .. table.concat(program.list_of(notice.t.to), ", "), why = ("\"%s\" for %s"):format(notice.name, host.iso(at)) })
    end
  end
  if engine.ahead.leaving() then
    M.post_due()
    return
  end
  if #program.notices > 0 or engine.ahead.reminds() then task = host.spawn(wait_and_post) end
end

function M.stop()
  if task and not host.ended(task) then host.cancel(task, "the run has ended") end
  task = nil
end

return M

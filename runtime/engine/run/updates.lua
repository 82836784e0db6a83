-- `updates`: how the run goes, posted when it starts, on its beat, when it goes back, and at its end. Progress and colour come
-- from the plan's own estimates. A task beside the run; muted by nothing, ended with the run.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

local began, beginning -- wall clock of the run's first event
local started_at = {}  -- item name = monotonic time at which its current attempt began
local back             -- since when the run goes back, wall clock
local beat

local defaults = {
  started = "{playbook}: started by {by}.\n{summary}",
  update = "{time} UTC - {playbook}\nProgress: {progress} %\nCurrent step: {step}\nElapsed: {elapsed}\nNext checkpoint: {next_checkpoint}\nStatus: {status}",
  rollback = "{time} UTC - {playbook} is rolling back: {why}\nElapsed: {elapsed} (rollback {rollback_elapsed})\nStatus: {status}",
  rolled_back = "{playbook}: rolled back in {rollback_elapsed}: {why}.",
  held = "{playbook}: waits for people: {why}.",
  failed = "{playbook}: stopped: {why}.",
  done = "{playbook}: done in {elapsed}.",
}

-- On a status page: nothing that is nobody's business.
local defaults_public = {
  started = "Maintenance is in progress.",
  update = "Maintenance continues.",
  rollback = "The maintenance ends early: what was there before is being restored.",
  rolled_back = "The maintenance has ended early. All systems are operational.",
  held = "Maintenance takes longer than planned.",
  failed = "Maintenance takes longer than planned.",
  done = "The maintenance is complete. All systems are operational.",
}

local function estimate(item)
  if item.t.on == "rollback" or item.kind == "phase" then return 0 end
  return common.seconds(item.t.takes) or 0
end

local function over(item) return item.status == "finished" or item.status == "skipped" or (item.status == "failed" and item.t.failure == "continue") end

-- Seconds that the plan leaves for an item.
local function left(item)
  if over(item) then return 0 end
  local since = started_at[item.name]
  return math.max(0, estimate(item) - (item.status == "started" and since and host.monotonic() - since or 0))
end

local function posts() return program.header().t.updates and not program.chosen end -- a follow-up is not the run

-- Seconds that the plan gives the whole run.
function M.whole()
  local sum = 0
  for _, item in ipairs(program.track) do
    if not item.t.beside then sum = sum + estimate(item) end
  end
  return sum
end

-- How the run stands: {progress, step, next_checkpoint, color, status}.
function M.standing()
  local total, done, count, finished = 0, 0, 0, 0
  local step, next_checkpoint, until_next, colour, why
  local expected_left = 0
  for _, item in ipairs(program.track) do
    if item.kind ~= "phase" and item.t.on ~= "rollback" then
      total, count = total + estimate(item), count + 1
      if over(item) then done, finished = done + estimate(item), finished + 1 else
        if started_at[item.name] and not item.t.beside or not step then step = item.name end
        if item.kind == "checkpoint" and not next_checkpoint then next_checkpoint, until_next = item.name, expected_left end
        if not item.t.beside then expected_left = expected_left + left(item) end
        done = done + math.max(0, estimate(item) - left(item))
        local late = item.status == "started" and started_at[item.name] and estimate(item) > 0 and host.monotonic() - started_at[item.name] - estimate(item)
        if late and late > 0 then
          colour, why = "yellow", ("\"%s\" takes %s longer than planned"):format(item.name, host.duration_text(math.max(1, math.floor(late + 0.5))))
        end
      end
      if item.status == "failed" and not over(item) then colour, why = "red", ("\"%s\" failed"):format(item.name) end
    end
  end
  local window, opened = program.header().t.window, engine.time.window_opened()
  if window and opened and not engine.time.window_closed() then
    local spent = host.monotonic() - opened
    for _, item in ipairs(program.track) do
      if not item.t.beside then spent = spent + left(item) end
      if item.name == window.to then break end
    end
    local max, target = common.seconds(window.max), common.seconds(window.target)
    if max and spent > max then colour, why = "red", ("the window takes %s, its maximum is %s"):format(host.duration_text(math.ceil(spent / 60) * 60), window.max)
    elseif target and spent > target and colour ~= "red" then
      colour, why = "yellow", ("the window takes %s, its target is %s"):format(host.duration_text(math.ceil(spent / 60) * 60), window.target)
    end
  end
  if back then colour, why = "red", "rolling back" end
  local words = { green = "on track", yellow = "delayed", red = "issue detected" }
  local part = total > 0 and done / total or count > 0 and finished / count or 0
  colour = colour or "green"
  return { progress = math.min(100, math.floor(part * 100)), step = step or "none", colour = colour, why = why,
    next_checkpoint = next_checkpoint and ("%s in %s"):format(next_checkpoint, host.duration_text(math.ceil((until_next or 0) / 60) * 60)) or "none left",
    status = ("%s (%s)%s"):format(words[colour], colour, why and ": " .. why or "") }
end

-- How severe each post is; an update is as severe as its colour. What ends a rollback goes wherever its beginning went.
local levels = { started = "info", done = "info", held = "warning", rollback = "critical", rolled_back = "critical", failed = "critical" }
local of_colour = { green = "info", yellow = "warning", red = "error" }

local function text_of(kind, channel, standing)
  local header = program.header()
  local values = { playbook = header.name, summary = header.t.summary or "", run = host.run_id(), by = host.user(), time = host.iso(host.now()):sub(1, 16):gsub("T", " "),
    elapsed = host.duration_text(math.floor(host.now() - began + 0.5)), progress = standing.progress, step = standing.step,
    next_checkpoint = standing.next_checkpoint, status = standing.status, why = M.why or "",
    rollback_elapsed = back and host.duration_text(math.floor(host.now() - back + 0.5)) or "not needed" }
  local fallback = (host.channels()[channel] or {}).public and defaults_public or defaults
  return (engine.says.fill(program.post_template(kind, channel) or fallback[kind], values):gsub("%s+$", ""))
end

-- The channels of a post. Of the beat, the status page gets nothing.
local function channels(kind, beat)
  local updates = program.header().t.updates
  local list, there = {}, {}
  local function add(value)
    for _, channel in ipairs(value and program.list_of(value) or {}) do
      if not there[channel] then there[channel], list[#list + 1] = true, channel end
    end
  end
  add(updates.to)
  add((updates.also or {})[kind])
  if updates.status_page and (kind == "started" or kind == "rollback" or kind == "rolled_back" or kind == "failed" or kind == "done") and not beat then
    add(updates.status_page == true and "status_page" or updates.status_page)
  end
  return list
end

local function post(kind, number, beat, level)
  local standing = M.standing()
  local texts, to = {}, {} -- in the order of the channels, those with the same text together
  for _, channel in ipairs(channels(kind, beat)) do
    local text = text_of(kind, channel, standing)
    if not to[text] then texts[#texts + 1], to[text] = text, {} end
    table.insert(to[text], channel)
  end
  for _, text in ipairs(texts) do
    engine.outbox.post({ key = ("%s/update/%s/%s"):format(host.run_id(), kind, number), text = text, level = level or levels[kind] or of_colour[standing.colour], about = "update",
      stage = kind, settles = kind == "done" or kind == "rolled_back",
      data = { playbook = program.header().name, update = kind, progress = standing.progress, step = standing.step, status = standing.colour,
        next_checkpoint = standing.next_checkpoint } }, to[text])
  end
end

-- Posts at whole beats counted from `from`, so that a resume neither repeats nor shifts one.
local function tick(kind, from, every)
  while true do
    local number = math.floor((host.now() - from) / every) + 1
    host.sleep(math.max(0.01, from + number * every - host.now()))
    post(kind, number, true)
  end
end

local function keep_beat()
  local updates = program.header().t.updates
  if beat and not host.ended(beat) then host.cancel(beat, "another beat") end
  beat = nil
  local every = back and (updates.in_rollback or updates.every) or updates.every
  if every then beat = host.spawn(tick, back and "rollback" or "update", back or began, host.parse_duration(every)) end
end

function M.begin(history)
  for _, event in ipairs(history) do
    began = event.event == "run.begun" and event.at or began or event.at
    if event.event == "rollback.started" then back, M.why = event.at, event.data.why end
  end
  began = not engine.ahead.begins_now() and began or host.now()
  if not posts() then return end
  post("started", 1) -- also where a crash kept an earlier process from it; it has a key
  keep_beat()
end

-- Told of every event before it is journaled.
function M.saw(event, item, data)
  if item and event == "step.started" then
    started_at[item.name] = host.monotonic()
  elseif event == "rollback.started" then
    back, M.why = host.now(), data.why
    if posts() then
      post("rollback", "started")
      keep_beat()
    end
  end
end

-- The run ends or is held.
function M.finish(outcome, why)
  if beat and not host.ended(beat) then host.cancel(beat, "the run has ended") end
  beat = nil
  if not posts() or engine.ahead.leaving() then return end
  M.why = why or M.why
  if outcome == "succeeded" then post("done", 1)
  elseif outcome == "rolled_back" then post("rolled_back", 1)
  elseif outcome == "failed" then post("failed", 1)
  else post("held", host.iso(host.now()), false, outcome == "person_needed" and "critical" or nil) end
end

return M

-- Monitors: each watches in a task of its own beside later steps, from one item to another or for a time. What it finds goes
-- through live.lua. Every sample is in the journal; a gap through a crash is no data. Muted on the way back.
local engine = ...
local host, program, common, live = engine.host, engine.program, engine.common, engine.live
local journal, label = common.journal, program.label
local sample, finding = engine.sample, engine.finding
local M = {}

local muted = false

local list -- of all monitors; asked for at every item of a run that may have thousands
local function monitors()
  if list then return list end
  list = {}
  for _, item in ipairs(program.track) do
    if item.kind == "monitor" then list[#list + 1] = item end
  end
  return list
end

local function prepare(item)
  item.figures = item.figures or {}
  item.timeout_s = common.seconds(item.t.timeout) or math.max(item.every_s, 5)
  item.stale_s = common.seconds(item.t.stale) or math.max(item.every_s * 3, 1)
  for index, rule in ipairs(item.rules) do rule.index = index end
end

-- Once a breach, until the rule is fine again; a statement is cancelled each time, because the next one is another.
local function fire(item, breach, found)
  local rule = breach.rule
  if rule.fired and rule.verdict.verdict ~= "cancel_statement" then return end
  rule.fired, rule.breaches, item.breaches = true, (rule.breaches or 0) + 1, (item.breaches or 0) + 1
  local why = finding.words(item, breach)
  item.open = { rule = rule.index, why = why }
  journal("monitor.breached", item, { rule = rule.index, metric = rule.name, value = breach.value, kind = rule.kind, level = rule.level.text,
    limit = rule.level.kind and sample.level(item, rule) or rule.level.number, severity = rule.severity, for_s = breach.lasted, times = rule.count, verdict = rule.verdict.verdict, why = why })
  found[#found + 1] = { verdict = rule.verdict, why = why, key = item.name .. "/" .. rule.index }
end

local function blind(item, name, note, found)
  if item.blind then return end
  item.blind, item.was_blind = true, true
  local why = ("%s: no data from %s%s"):format(label("monitor", item.name), name, note and (" (%s)"):format(note) or "")
  if item.no_data.why and item.no_data.verdict ~= "tell" then why = ("%s: %s"):format(why, item.no_data.why) end
  item.breaches = (item.breaches or 0) + 1
  item.open = { rule = 0, why = why }
  journal("monitor.breached", item, { rule = 0, metric = name, no_data = true, verdict = item.no_data.verdict, why = why })
  found[#found + 1] = { verdict = item.no_data, why = why, key = item.name .. "/no data" }
end

-- Baselines that are not known yet; one that cannot be had leaves its rule without data.
local function baselines(item, early)
  item.baselines = item.baselines or {}
  for index, rule in ipairs(item.rules) do
    local own = rule.level.baseline
    if rule.level.kind and item.baselines[index] == nil and ((own ~= nil) ~= (early == true)) then
      common.allow_reads(item)
      local ok, answer, requests
      if own then ok, answer, requests = common.limited(item.timeout_s, own) else ok, answer, requests = sample.ask(item, rule) end
      local value = ok and sample.read(answer, requests, item.stale_s)
      if type(value) == "number" then
        item.baselines[index] = value
        journal("monitor.baselined", item, { rule = index, metric = rule.name, value = value, limit = sample.level(item, rule), severity = rule.severity })
      end
    end
  end
end

local function look(item)
  baselines(item)
  local data = sample.take(item)
  if item.stopping then return end
  journal("monitor.sampled", item, data)
  local breached, fine, missing = sample.absorb(item, data)
  for _, rule in ipairs(fine) do
    rule.fired = nil
    live.resume(item.name .. "/" .. rule.index)
  end
  if muted then return end
  local found = {}
  if missing then blind(item, missing, (data.x or {})[missing], found) else
    item.blind = nil
    live.resume(item.name .. "/no data")
  end
  for _, breach in ipairs(breached) do fire(item, breach, found) end
  finding.deliver_all(item, found)
end

local function over(item) return item.ending or item.until_at and host.now() >= item.until_at end

-- At the end: a rule that was never judged has not passed. Without any data it is as blind as after three looks; with too few
-- requests each time it is inconclusive, and a person says what follows.
local function settle(item)
  if muted or item.settled then return end
  local few, none = sample.unjudged(item)
  local found = {}
  if #none > 0 and not item.was_blind then blind(item, none[1].name, ("%d look%s"):format(item.looks, item.looks == 1 and "" or "s"), found) end
  if #few > 0 then
    local why, asks = finding.inconclusive(item, few), item.no_data.verdict == "ask" and item.no_data or program.words.ask()
    item.settled, item.breaches, item.open = true, (item.breaches or 0) + 1, { rule = 0, why = why, asks = true }
    journal("monitor.breached", item, { rule = 0, metric = few[1].name, inconclusive = true, verdict = "ask", why = why })
    found[#found + 1] = { verdict = asks, why = why, key = item.name .. "/inconclusive" }
  end
  finding.deliver_all(item, found)
end

local function watch(item)
  while true do
    local began, last = host.monotonic(), over(item)
    look(item)
    if last and not live.paused_by(item.name) then break end
    while host.monotonic() - began < item.every_s and (last or not over(item)) do
      local left = began + item.every_s - host.monotonic()
      if item.until_at and not last then left = math.min(left, item.until_at - host.now()) end
      host.poll(0.05, math.max(0.001, left))
    end
  end
  settle(item)
  while next(item.asking or {}) do host.poll(0.1) end
  item.result, item.elapsed = host.store(sample.result(item)), host.now() - item.began_at
  item.status = "finished"
  journal("monitor.ended", item, { result = item.result, elapsed_s = item.elapsed,
    why = ("%d samples, %d breaches"):format(item.result.looks, item.result.breaches) })
end

local function run(item)
  item.task = host.spawn(function()
    host.enter_step(item.name, label("monitor", item.name))
    local ok, problem = host.try(watch, item)
    if not ok and not item.stopping then live.fatal(problem) end
  end)
  live.works_for(item.task, item)
end

local function start(item)
  if item.status ~= "waiting" or muted then return end
  prepare(item)
  local lasts = common.seconds(item.t.lasts)
  item.status, item.began_at = "started", host.now()
  item.until_at = lasts and item.began_at + lasts
  local rules = {}
  for i, rule in ipairs(item.rules) do
    rules[i] = { metric = rule.name, unit = rule.unit, kind = rule.kind, level = rule.level.text, limit = rule.level.number, low = rule.level.low, high = rule.level.high,
      severity = rule.severity, verdict = rule.verdict.verdict }
  end
  journal("monitor.started", item, { t = item.began_at, rules = rules, every_s = item.every_s, from = item.t.from, to = item.t.to, lasts_s = lasts, until_t = item.until_at,
    why = ("every %s, %s"):format(item.t.every, item.t.to and "to " .. item.t.to or "until " .. host.iso(item.until_at)) })
  run(item)
end

-- Before the run's first step: the baselines that the samples themselves are.
function M.begin()
  for _, item in ipairs(monitors()) do
    prepare(item)
    baselines(item, true)
  end
end

-- Called before an item begins, and after it is done: what begins and ends there. A monitor that lasts counts from the end.
function M.before(item)
  for _, one in ipairs(monitors()) do
    if one.t.from == item.name and one.t.to then start(one) end
  end
end
local ended = { finished = true, skipped = true, failed = true }
function M.after(item)
  for _, one in ipairs(monitors()) do
    if one.t.from == item.name then start(one) end
    if one.t.to == item.name and one.status == "started" and (item.passed_over or item.kind == "phase" or ended[item.status]) then
      one.ending = true
      if one.task then host.join(one.task) end
      one.task = nil
    end
  end
end

-- The monitor that still watches longest and the instant at which its time is over; nil where none does. What watches up to a step
-- has no such instant: see unwatched().
function M.watching()
  local last
  for _, item in ipairs(monitors()) do
    if item.status == "started" and item.until_at and host.now() < item.until_at and (not last or item.until_at > last.until_at) then last = item end
  end
  return last, last and last.until_at
end

-- --detach stays while a monitor lasts, because nobody else would watch, and says so. Whether one does.
function M.postpone(item)
  local watcher, till = M.watching()
  if not watcher then return false end
  journal("detach.postponed", item, { monitor = watcher.name, till = host.iso(till),
    why = ("stays until %s UTC: %s watches"):format(host.iso(till):sub(12, 19), label("monitor", watcher.name)) })
  return true
end

-- --detach: the first monitor that watches up to a step while people are asked before it, and what asks them; nil where there is none.
function M.unwatched(track)
  for _, one in ipairs(monitors()) do
    local from, to = program.names[one.t.from], program.names[one.t.to or ""]
    for index = to and one.status ~= "finished" and from.index or 1, to and to.index or 0 do
      local item = track[index]
      local asked = item.status ~= "finished" and item.status ~= "skipped" and not item.passed_over and item.t.on ~= "rollback" and program.asked.describe(item)
      local people = asked and asked.who
      for _, entry in ipairs(asked and asked.entries or {}) do people = people or entry.kind == "confirm" end
      if people then return one, item end
    end
  end
end

-- At the end of the run: stays with the monitors that still last.
function M.wait()
  for _, item in ipairs(monitors()) do
    if item.status == "started" and item.task then
      item.ending = item.t.to ~= nil
      host.join(item.task)
      item.task = nil
    end
  end
end

-- Ends watching without a result: the run is held, or goes back (to the item `index`, to watch again from there).
function M.leave(index)
  for _, item in ipairs(monitors()) do
    local from = program.names[item.t.from]
    if item.status == "started" and (not index or from.index >= index) then
      item.stopping = true
      local tasks = { item.task }
      for _, task in pairs(item.asking or {}) do tasks[#tasks + 1] = task end
      for _, task in ipairs(tasks) do host.cancel(task, "the monitor is stopped") end
      for _, task in ipairs(tasks) do host.join(task) end
      for rule = 0, #item.rules do live.resume(item.name .. "/" .. (rule == 0 and "no data" or rule)) end
      item.task, item.asking, item.stopping, item.open, item.blind = nil, nil, nil, nil, nil
      if index then
        M.forget(item)
        journal("monitor.ended", item, { again = true, why = "the run goes back before it" })
      end
    end
  end
end

function M.forget(item)
  item.status, item.figures, item.baselines, item.breaches, item.looks, item.last_t, item.ending = "waiting", nil, nil, nil, nil, nil, nil
  item.settled, item.was_blind = nil, nil
  for _, rule in ipairs(item.rules) do rule.since, rule.count, rule.gone, rule.fired, rule.breaches, rule.window, rule.judged, rule.most = nil, nil, nil, nil, nil, nil, nil, nil end
end

function M.mute()
  muted = true
  M.leave()
  for _, item in ipairs(monitors()) do
    if item.status == "started" then
      item.status, item.result = "finished", host.store(sample.result(item))
      journal("monitor.ended", item, { result = item.result, why = "muted: the run goes back" })
    end
  end
end

-- What the journal says, event by event.
function M.restore(item, kind, data)
  if kind == "monitor.started" then
    prepare(item)
    item.status, item.began_at, item.until_at, item.last_t, item.held = "started", data.t, data.until_t, data.t, nil
  elseif kind == "monitor.baselined" then
    item.baselines = item.baselines or {}
    item.baselines[data.rule] = data.value
  elseif kind == "monitor.sampled" then
    prepare(item)
    local _, fine, missing = sample.absorb(item, data)
    for _, rule in ipairs(fine) do rule.fired = nil end
    if not missing then item.blind = nil end
  elseif kind == "monitor.breached" then
    item.breaches, item.open = (item.breaches or 0) + 1, { rule = data.rule, why = data.why, asks = data.inconclusive }
    local rule = item.rules[data.rule]
    if rule then rule.fired, rule.breaches = true, (rule.breaches or 0) + 1
    elseif data.inconclusive then item.settled = true
    else item.blind, item.was_blind = true, true end
  elseif kind == "monitor.resumed" then
    item.until_at, item.last_t, item.held = data.until_t, data.t, nil
    sample.gap(item, data.missing or 0)
  elseif kind == "decision.answered" then item.open = nil
  elseif kind == "monitor.ended" then
    if data.again then M.forget(item) else item.status, item.result, item.elapsed = "finished", data.result, data.elapsed_s end
  end
end

-- The run was held: nobody watched, and everybody knew. What a monitor had found was answered with it.
function M.held()
  for _, item in ipairs(monitors()) do item.held, item.open = true, nil end
end

-- After a restart: goes on watching. A gap through a crash is no data; the time in which the run was held is not counted.
function M.continue()
  for _, item in ipairs(monitors()) do
    if item.status == "started" and not item.task then
      prepare(item)
      local now = host.now()
      local gap = math.max(0, now - item.last_t)
      local missing = item.held and 0 or math.floor((math.min(now, item.until_at or now) - item.last_t) / item.every_s)
      if item.held and item.until_at then item.until_at = item.until_at + gap end
      sample.gap(item, math.max(0, missing))
      journal("monitor.resumed", item, { t = now, gap_s = gap, missing = math.max(0, missing), until_t = item.until_at,
        why = ("after %s without samples"):format(host.duration_text(gap)) })
      local open = item.open
      if open then
        local rule = item.rules[open.rule]
        local verdict = rule and rule.verdict or item.no_data
        if open.asks and verdict.verdict ~= "ask" then verdict = program.words.ask() end
        finding.deliver(item, verdict, open.why, item.name .. "/" .. (rule and open.rule or open.asks and "inconclusive" or "no data"))
      end
      local found = {}
      if missing >= item.no_data_after then blind(item, item.rules[1].name, ("nobody watched for %s"):format(host.duration_text(gap)), found) end
      finding.deliver_all(item, found)
      run(item)
    end
  end
end

return M

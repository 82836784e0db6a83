-- The main task of a run: history in, exit code out. Loaded once per run with the program (words.lua) that the file declared.
local engine = ...
local host, program, common, people, rollback = engine.host, engine.program, engine.common, engine.people, engine.rollback
local journal, label = common.journal, program.label
local track = program.track
local M = {}

-- What the journal says about each item. Returns {undone, rolling_back, why, way, touched, ended}.
-- `item.failed_for` is a failure, and `item.refused` a person's no, that nothing followed yet: the run ended right after it.
local function restore(history)
  local past = { undone = {}, touched = false }
  for _, event in ipairs(history) do
    local item, data = program.names[event.step], event.data
    local kind = event.event
    if item and kind:sub(1, 8) == "substep." and data.name then engine.substep.restore(item, kind, data)
      past.touched = past.touched or common.has_way_back(item)
    elseif item then
      if kind == "sleep.started" then
        item.sleeps = item.sleeps or {}
        item.sleeps[data.key] = host.parse_time(data.till)
      elseif kind == "attempt.failed" and item.kind == "step" then -- it ended, and its next attempt was due
        item.status, item.retry_due, item.sleeps = "failed", true, nil
      elseif kind == "step.started" then
        item.status, item.attempt, item.elapsed, item.failed_for, item.passed_over, item.retry_due = "started", data.attempt, nil, nil, nil, nil
        item.first_at = item.first_at or event.at
        past.undone[event.step] = nil -- it ran again after its undo (in doubt, partial)
        past.touched = past.touched or common.has_way_back(item)
      elseif kind == "step.captured" then item.saved = data.saved
      elseif kind == "step.finished" then item.status, item.result, item.elapsed = "finished", data.result, data.elapsed_s
      elseif kind == "step.skipped" then item.status = "skipped"
      elseif kind == "attempt.failed" and item.kind == "step" then item.status = "failed" -- known to have ended: not in doubt, tried again
      elseif kind == "step.failed" then item.status, item.failed_for = "failed", (data.error or {}).message or "no reason was recorded"
      elseif kind == "repair.started" then item.repaired = true
      elseif kind == "checkpoint.judged" then item.status, item.result, item.unpassed = data.passed and "finished" or "waiting", data.result, not data.passed
      elseif kind == "decision.answered" and (item.failed_for or item.unpassed) then
        item.passed_over, item.ordered = data.answer == "go_on", data.answer == "rollback"
      elseif kind == "gate.opened" and item.kind == "gate" then item.deadline = data.deadline and host.parse_time(data.deadline)
      elseif kind == "gate.answered" and item.kind == "gate" then
        item.result = data
        item.status = data.answer == "approve" and "finished" or "waiting"
        item.refused = data.answer == "reject" and data.by or nil
      elseif kind == "undo.finished" then
        past.undone[event.step], item.sleeps, item.epoch = true, nil, (item.epoch or 0) + 1
      end
    end
    if kind == "rollback.started" then past.rolling_back, past.why, past.way, past.ended = true, data.why, data.way, nil
    elseif kind == "rollback.finished" then past.rolled_back = true
    elseif kind == "run.finished" then past.ended = data
    elseif kind == "run.held" then
      for _, held in ipairs(track) do held.failed_for = nil end -- whoever resumes wants it tried again
    end
  end
  return past
end

local clock = {}
local function window_seconds()
  return clock.from and (clock.to or host.monotonic()) - clock.from or nil
end

local function finish(outcome, exit, more)
  local data = { outcome = outcome, exit = exit, elapsed_s = host.monotonic() - clock.started, window_s = window_seconds() }
  for key, value in pairs(more or {}) do data[key] = value end
  journal("run.finished", nil, data)
  return exit, outcome
end

local function held(why, exit, outcome)
  host.clear_cancel()
  journal("run.held", nil, { why = why, resume = "runbook resume " .. host.run_id(), outcome = outcome or "held", exit = exit or 3,
    elapsed_s = clock.started and host.monotonic() - clock.started, window_s = window_seconds() })
  return exit or 3, outcome or "held"
end

local perform = {}
for _, kind in ipairs { "step", "checkpoint", "gate", "checklist" } do perform[kind] = engine[kind].perform end

-- Steps declared `beside` run in tasks of their own and are joined before the step they name.
local beside = {}
local function join(name)
  for i = #beside, 1, -1 do
    local entry = beside[i]
    if not name or entry.item.t.beside == name then
      table.remove(beside, i)
      local ok, outcome = host.join(entry.task)
      if not ok then return { verdict = "rollback", why = tostring(outcome), item = entry.item } end
      if outcome then return outcome end
    end
  end
end

local function stop_beside()
  for _, entry in ipairs(beside) do host.cancel(entry.task, "the run goes back") end
  for _, entry in ipairs(beside) do host.join(entry.task) end
  beside = {}
end

local function take(item)
  local header = program.header().t
  if item.kind == "phase" then return end
  if item.t.on == "rollback" then
    item.met = true
    return
  end
  local outcome = join(item.name)
  if outcome then return outcome end
  if item.passed_over then return end
  if item.failed_for and item.t.failure ~= "continue" then
    return { verdict = "rollback", why = ("%s failed: %s"):format(label(item.kind, item.name), item.failed_for), item = item, ordered = item.ordered }
  end
  if item.refused then return { verdict = "rollback", why = ("%s was declined by %s"):format(label(item.kind, item.name), item.refused), item = item } end
  if item.status == "finished" or item.status == "skipped" or (item.status == "failed" and item.t.failure == "continue" and not item.retry_due) then return end
  if item.t.beside then
    beside[#beside + 1] = { item = item, task = host.spawn(perform[item.kind], item) }
    return
  end
  local ok
  ok, outcome = host.try(perform[item.kind], item)
  if not ok then -- only a cancelled wait outside the step's own code; anything else is the engine's or the journal's
    if not host.interrupted() then error(outcome, 0) end
    outcome = { verdict = "interrupted", why = "interrupted", item = item }
  end
  if not outcome and header.window then
    if item.name == header.window.from then clock.from = host.monotonic() end
    if item.name == header.window.to then clock.to = host.monotonic() end
  end
  return outcome
end

local function touched()
  for _, item in ipairs(track) do
    if item.kind == "step" and (item.status == "finished" or item.status == "failed" or item.status == "started") and common.has_way_back(item) then return true end
  end
  return false
end

-- Rolls back after `outcome`, asking first where rows would be lost. Returns exit, outcome word.
local function go_back(outcome, past)
  host.clear_cancel()
  stop_beside()
  if not past.rolling_back and not outcome.ordered then
    local rows, list = rollback.losses(track)
    if rows ~= 0 then
      local why = ("%s. A rollback from here would lose %s rows"):format(outcome.why, rows and host.grouped(rows) or "an unknown number of")
      local answer = people.decide(outcome.item, why)
      if answer == "hold" then return held(why) end
      if answer == "go_on" then return nil end
    end
  end
  local result = rollback.back(track, outcome.why, outcome.way, past.undone, past.rolling_back)
  if result.verdict == "rolled_back" then
    if not touched() and not past.touched then return finish("failed", 1, { why = outcome.why }) end
    return finish("rolled_back", 1, { why = outcome.why, rollback_s = result.rollback_s })
  elseif result.verdict == "hold" or result.verdict == "interrupted" then
    return held(result.why)
  end
  return held(result.why, 4, "person_needed")
end

-- Returns exit, outcome word; nil to go on with the next item.
local function follow(outcome, past)
  local verdict = outcome.verdict
  if verdict == "interrupted" then
    host.clear_cancel()
    local answer = "hold"
    if host.given().interactive then
      host.reset_interrupt()
      answer = people.decide(outcome.item, "interrupted by Ctrl-C")
    end
    if answer == "rollback" then return go_back({ verdict = "rollback", why = "interrupted by " .. host.user(), item = outcome.item }, past) end
    if answer == "go_on" then return nil, nil, true end
    return held(("interrupted during %s"):format(label(outcome.item.kind, outcome.item.name)))
  elseif verdict == "ask" then
    local answer = people.decide(outcome.item, outcome.why, outcome.roles)
    if answer == "hold" then return held(outcome.why) end
    if answer == "go_on" then return nil end
    return go_back(outcome, past)
  elseif verdict == "hold" then
    return held(outcome.why)
  elseif verdict == "person" then
    return held(outcome.why, 4, "person_needed")
  end
  return go_back(outcome, past)
end

local function check_databases()
  for _, entry in ipairs(program.parameters) do
    if entry.handle then
      host.enter_step("", "")
      host.allow "reads"
      local ok, problem = host.try(host.database.version, entry.handle)
      if not ok then host.raise_usage(problem.message, problem.hint) end
      if entry.t.empty then
        local tables = host.database.tables(entry.handle)
        if #tables > 0 then
          table.sort(tables)
          host.raise_usage(("parameter --%s: %s is not empty: %d table%s (%s)"):format(entry.name:gsub("_", "-"), tostring(entry.handle), #tables,
            #tables == 1 and "" or "s", table.concat(tables, ", ", 1, math.min(#tables, 5)) .. (#tables > 5 and ", …" or "")),
            "give an empty database, or drop what is in it")
        end
      end
    end
  end
end

-- `history` is empty for a new run. `mode`: exec, resume or rollback.
function M.main(history, mode, way)
  clock.started = host.monotonic()
  if mode == "exec" then check_databases() end
  host.begin()
  local past = restore(history)
  -- Its end is journaled, and the process died before the run's record said so.
  if past.ended and mode == "resume" then return past.ended.exit, past.ended.outcome end
  engine.time.begin(history)
  if past.rolled_back then
    if mode == "rollback" then host.raise_usage("the run was rolled back already") end
    local changed = past.touched or touched()
    return finish(changed and "rolled_back" or "failed", 1, { why = past.why })
  end
  if past.rolling_back or mode == "rollback" then
    local last = track[1]
    for _, item in ipairs(track) do
      if item.t.on == "rollback" then item.met = true end
      if item.status ~= "waiting" then last = item end
    end
    return go_back({ verdict = "rollback", ordered = true, why = past.why or ("ordered by " .. host.user()), way = past.way or way, item = last }, past)
  end
  local index = 1
  while index <= #track do
    local outcome = take(track[index])
    if outcome then
      local exit, word, again = follow(outcome, past)
      if exit then return exit, word end
      if again then index = index - 1 end
    end
    index = index + 1
  end
  local outcome = join()
  if outcome then
    local exit, word = follow(outcome, past)
    if exit then return exit, word end
  end
  return finish("succeeded", 0)
end

return M

-- The main task of a run: history in, exit code out. The loop over the items, and what each verdict leads to.
local engine = ...
local host, program, common, people, rollback, live = engine.host, engine.program, engine.common, engine.people, engine.rollback, engine.live
local journal, label = common.journal, program.label
local track = program.track
local M = {}

local finish, held, join, stop_beside = engine.ending.finish, engine.ending.held, engine.ending.join, engine.ending.stop_beside

local function take(item)
  if item.kind == "phase" or item.kind == "monitor" then return end
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
  outcome = live.boundary(item)
  if outcome then return outcome end
  engine.monitor.before(item)
  live.current(item)
  if item.t.beside then
    local task = host.spawn(engine[item.kind].perform, item)
    engine.ending.beside(item, task)
    live.works_for(task, item)
    return
  end
  outcome = engine[item.kind].perform(item)
  if not outcome then engine.ending.done(item) end
  return outcome
end

-- One item with everything that may come from outside meanwhile. Returns nil or an outcome.
local function taken(item)
  local ok, outcome = host.try(take, item)
  live.current(nil)
  outcome = live.settle(item, ok, outcome)
  if outcome then return outcome end
  ok, outcome = host.try(engine.monitor.after, item)
  return live.settle(item, ok, outcome)
end

local function touched()
  for _, item in ipairs(track) do
    if item.kind == "step" and (item.status == "finished" or item.status == "failed" or item.status == "started") and common.has_way_back(item) then return true end
  end
  return false
end

-- Rolls back after `outcome`, asking first where rows would be lost. Returns exit, outcome word; nil to go on.
local function go_back(outcome, past)
  host.clear_cancel()
  if not past.rolling_back and not outcome.ordered then
    if rollback.losses(track) ~= 0 then
      local answer = people.decide(outcome.item, outcome.why)
      if answer == "hold" then return held(outcome.why) end
      if answer == "go_on" then return nil end
    end
  end
  stop_beside("the run goes back")
  live.in_rollback()
  engine.monitor.mute()
  local result = rollback.back(track, outcome.why, outcome.way, past.undone, past.rolling_back)
  if result.verdict == "rolled_back" then
    if not touched() and not past.touched then return finish("failed", 1, { why = outcome.why }) end
    return finish("rolled_back", 1, { why = outcome.why, rollback_s = result.rollback_s })
  elseif result.verdict == "hold" or result.verdict == "interrupted" then
    return held(result.why)
  end
  return held(result.why, 4, "person_needed")
end

-- Goes on although the item did not end well; `at`: where.
local function pass_over(item, why, at)
  if item.kind ~= "monitor" then
    item.passed_over = true
    journal("item.passed_over", item, { why = why })
  end
  return nil, nil, at
end

local follow
-- Undoes back to the step that the verdict names. Returns exit and word, or nil, nil and the index to go on from.
local function redo(outcome, past)
  local by = outcome.item
  if not past.redoing then
    if not engine.redo.may(past, by, outcome) then
      return go_back({ verdict = "rollback", item = by, why = ('%s. It was done again from %s already'):format(outcome.why, label(program.names[outcome.step].kind, outcome.step)) }, past)
    end
    local rows = rollback.losses(track)
    if rows ~= 0 then
      local why = ("%s. Going back to %s would lose %s rows"):format(outcome.why, label(program.names[outcome.step].kind, outcome.step), rows and host.grouped(rows) or "an unknown number of")
      local answer = people.decide(by, why)
      if answer == "hold" then return held(why) end
      if answer == "rollback" then return go_back({ verdict = "rollback", ordered = true, why = why, item = by }, past) end
    end
  end
  stop_beside("the run goes back to an earlier step", program.names[outcome.step].index)
  engine.monitor.leave(program.names[outcome.step].index)
  local stopped, index = engine.redo.back(past, outcome.step, outcome.why, by)
  if not stopped then return nil, nil, index end
  if stopped.verdict == "person" then return held(stopped.why, 4, "person_needed") end
  local outside = stopped.verdict == "interrupted" and live.settle(by, true)
  if outside and outside.verdict ~= "interrupted" then
    outside.at = outcome.at
    return follow(outside, past)
  end
  return held(stopped.why)
end

-- What a verdict leads to. Returns exit and outcome word to end; else nil, nil and the index to go on from.
function follow(outcome, past)
  local verdict, item = outcome.verdict, outcome.item
  local at = outcome.at or item.index
  if verdict == "interrupted" then
    host.clear_cancel()
    local answer = "hold"
    if host.given().interactive then
      host.reset_interrupt()
      answer = people.decide(item, (live.with_left "interrupted by Ctrl-C"), nil, true)
    end
    if answer == "rollback" then return go_back({ verdict = "rollback", ordered = true, why = "interrupted by " .. host.user(), item = item }, past) end
    if answer == "go_on" then return nil, nil, at end
    return held(("interrupted during %s"):format(label(item.kind, item.name)))
  elseif verdict == "cancel" then
    return held(("%s during %s"):format(outcome.why, label(item.kind, item.name)))
  elseif verdict == "ask" then
    local answer = people.decide(item, outcome.why, outcome.roles)
    if answer == "hold" then return held(outcome.why) end
    if answer == "go_on" then return pass_over(item, outcome.why, at) end
    outcome.verdict, outcome.ordered = "rollback", true -- by a person, who was told what it loses
    return go_back(outcome, past)
  elseif verdict == "redo" then
    return redo(outcome, past)
  elseif verdict == "pause" then
    if host.given().detach then return held(outcome.why) end
    live.pause(item.name, outcome.why)
    live.pause_point(item)
    return nil, nil, at
  elseif verdict == "tell" then
    live.tell(item, outcome.channels, outcome.why)
    return pass_over(item, outcome.why, at)
  elseif verdict == "hold" then
    return held(outcome.why)
  elseif verdict == "person" then
    return held(outcome.why, 4, "person_needed")
  end
  local exit, word = go_back(outcome, past)
  if exit then return exit, word end
  if outcome.outside then return nil, nil, at end -- what it had cancelled is taken up again
  return pass_over(item, outcome.why, at)
end

-- follow(), where a question or a way back may be cut short too.
local function followed(outcome, past)
  local item, at = outcome.item, outcome.at or outcome.item.index
  while true do
    local ok, exit, word, index = host.try(follow, outcome, past)
    if ok and (exit or not host.interrupted()) then return exit, word, index end
    outcome = live.settle(item, ok, not ok and exit or nil)
    if not outcome then return nil, nil, at end
    outcome.at = at
    if live.is_rolling() then return held("interrupted during the rollback") end
    if outcome.verdict == "interrupted" and not ok then return held("interrupted while waiting for an answer") end
  end
end

local function refuse_other_server(entry, before, identity)
  host.raise_usage(("parameter --%s: %s is another server than the one that the run began with: it was %s, it is %s"):format(
    entry.name:gsub("_", "-"), tostring(entry.handle), before, identity), "resume with --accept-changed where that is meant, as after a failover")
end

local function refuse_tables(entry)
  local tables = host.database.tables(entry.handle)
  if #tables == 0 then return end
  table.sort(tables)
  host.raise_usage(("parameter --%s: %s is not empty: %d table%s (%s)"):format(entry.name:gsub("_", "-"), tostring(entry.handle), #tables,
    #tables == 1 and "" or "s", table.concat(tables, ", ", 1, math.min(#tables, 5)) .. (#tables > 5 and ", …" or "")),
    "give an empty database, or drop what is in it")
end

-- Reaches each database parameter once, before the run begins; a new run (`fresh`) wants those empty that must be. Rule 13: a run
-- goes on with the servers that it began with. Returns what each is now, nil where nothing is new; raises where the journal says
-- another one, unless that was accepted.
local function identify(history, fresh)
  local now, known = {}, {}
  for _, event in ipairs(history) do
    if event.event == "databases.identified" then known = event.data.servers or {} end
  end
  for _, entry in ipairs(program.parameters) do
    if entry.handle then
      host.enter_step("", "")
      host.allow "reads"
      local ok, identity = host.try(host.database.identity, entry.handle)
      if not ok then host.raise_usage(identity.message, identity.hint) end
      if fresh and entry.t.empty then refuse_tables(entry) end
      local before = known[entry.name]
      if before and before ~= identity and not host.given().accept_changed then refuse_other_server(entry, before, identity) end
      if before ~= identity then now[entry.name] = identity end
    end
  end
  if next(now) == nil then return nil end
  for name, identity in pairs(known) do now[name] = now[name] or identity end
  return now
end

-- `retry RUN STEP`: the step may run again, with all its attempts.
local function order_retry(past, name)
  local item = program.names[name]
  if past.rolling_back then host.raise_usage("the run is on its way back: a rollback never goes forward again", "`runbook resume` continues it") end
  if not item then host.raise_usage(("the playbook has no step '%s'%s"):format(name, host.did_you_mean(name, program.names))) end
  local undecided = item.kind == "checkpoint" and item.unpassed
  if item.status ~= "failed" and item.status ~= "started" and not undecided then
    host.raise_usage(("%s %s: only one that failed, did not pass or is in doubt can be retried"):format(label(item.kind, name),
      item.status == "finished" and "is finished" or item.status == "skipped" and "was skipped" or "has not begun"))
  end
  return function()
    journal("step.retried", item, { by = host.user(), why = ("ordered by %s"):format(host.user()), was = item.status })
    engine.step.again(item)
    engine.substep.ordered_again(item)
  end
end

local function forward(past)
  local index = 1
  if past.redoing then
    local by = program.names[past.redoing.by]
    local exit, word, at = followed({ verdict = "redo", step = past.redoing.to, why = past.redoing.why, item = by }, past)
    if exit then return exit, word end
    index = at or index
  else
    local first = track[1]
    local ok, outcome = host.try(function()
      local begun = false
      for _, item in ipairs(track) do begun = begun or item.status ~= "waiting" end
      if not begun then engine.monitor.begin() end
      engine.monitor.continue()
    end)
    outcome = live.settle(first, ok, outcome)
    if outcome then live.again(outcome) end
  end
  while true do
    while index <= #track do
      local item = track[index]
      local outcome = taken(item)
      index = index + 1
      if outcome then
        outcome.at = item.index
        local exit, word, at = followed(outcome, past)
        if exit then return exit, word end
        index = at or index
      end
    end
    local last = track[#track]
    local ok, outcome = host.try(function() return join() or engine.monitor.wait() or live.boundary(last) end)
    outcome = live.settle(last, ok, outcome)
    if not outcome then return finish("succeeded", 0) end
    outcome.at = index
    local exit, word, at = followed(outcome, past)
    if exit then return exit, word end
    index = at or index
  end
end

-- `history` is empty for a new run. `mode`: exec, resume, retry or rollback; `way`: the step of a retry, the way of a rollback.
function M.main(history, mode, way)
  engine.ending.start()
  local servers = mode ~= "notices" and not host.rehearsal and identify(history, mode == "exec")
  local past = engine.restore.restore(history)
  if past.rolled_back and mode ~= "resume" then host.raise_usage("the run was rolled back already") end
  if mode == "rollback" and way ~= "" and not rollback.knows_way(way) then host.raise_usage(rollback.unknown_way(way)) end
  local retry = mode == "retry" and order_retry(past, way)
  if mode == "exec" then people.initiators[1] = host.user() end
  local ahead = mode == "exec" and host.given().ahead
  if ahead then engine.ahead.check() end
  local voided = engine.agreement.settle(track)
  if mode ~= "rollback" and mode ~= "notices" then people.check_given(track) end
  host.begin()
  live.leases()
  if mode ~= "exec" and mode ~= "notices" then engine.leases.settle(history) end
  if servers then host.append("databases.identified", "", { servers = servers, why = "the servers that the run goes on with" }) end
  if mode ~= "notices" then engine.agreement.record(voided) end
  -- Its end is journaled, and the process died before the run's record said so.
  if past.ended and mode == "resume" then return past.ended.exit, past.ended.outcome end
  if mode == "notices" then return engine.time.only_notices(history) end
  engine.time.begin(history, mode)
  if ahead then return engine.ahead.leave() end
  if past.rolled_back then
    local changed = past.touched or touched()
    return finish(changed and "rolled_back" or "failed", 1, { why = past.why })
  end
  if retry then retry() end
  live.start()
  local exit, word
  local back = engine.agreement.back
  if back and not past.rolling_back and mode == "resume" then
    exit, word = followed({ verdict = "rollback", ordered = true, why = back.why, item = back.item }, past)
  elseif past.rolling_back or mode == "rollback" then
    local last = track[1]
    for _, item in ipairs(track) do
      if item.t.on == "rollback" then item.met = true end
      if item.status ~= "waiting" then last = item end
    end
    exit, word = followed({ verdict = "rollback", ordered = true, why = past.why or ("ordered by " .. host.user()),
      way = past.way or (way ~= "" and way or nil), item = last }, past)
  else
    exit, word = forward(past)
  end
  live.stop()
  return exit, word
end

return M

-- `history`: facts from earlier runs of the same playbook, read from the journal. An answer that is not "yes" raises, so that a
-- checklist says why.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local function place(t) return t.env and (" in " .. t.env) or "" end
local function span(t) return t.within and (" within " .. t.within) or "" end

-- Earlier runs of this playbook that `t` asks for, newest first.
local function runs(t)
  local since = t.within and host.now() - host.parse_duration(t.within) or 0
  local found = {}
  for _, run in ipairs(host.earlier_runs(program.header().name, since)) do
    if not t.env or run.env == t.env then found[#found + 1] = run end
  end
  return found
end

local function same_source(t, run) return t.source == "any" or run.sha256 == host.source_sha256() end

local function rollback_of(run)
  for _, event in ipairs(run.events) do
    if event.event == "rollback.finished" then return event.data end
  end
end

local function ago(run) return host.duration_text(math.max(1, math.floor(host.now() - run.started))) .. " ago" end

local function refuse(text, list, wanted)
  local newest = list[1]
  host.raise("history", text .. (newest and ("; the newest: %s, %s, %s%s"):format(newest.run, newest.outcome ~= "" and newest.outcome:gsub("_", " ") or "not ended",
    ago(newest), wanted and not same_source(wanted, newest) and ", of another version of the playbook" or "") or ""))
end

function M.rehearsed(t)
  local list = runs(t)
  local succeeded, went_back
  for _, run in ipairs(list) do
    if same_source(t, run) then
      succeeded = succeeded or run.outcome == "succeeded"
      went_back = went_back or rollback_of(run) ~= nil
    end
  end
  if not succeeded then refuse(("no run of this version of \"%s\" succeeded%s%s"):format(program.header().name, place(t), span(t)), list, t) end
  if t.rollback and not went_back then refuse(("no run of this version of \"%s\" was rolled back%s%s"):format(program.header().name, place(t), span(t)), list, t) end
  return true
end

function M.rolled_back(t)
  local list = runs(t)
  local limit = t.below and host.parse_duration(t.below)
  for _, run in ipairs(list) do
    local back = same_source(t, run) and rollback_of(run)
    if back then
      if limit and back.elapsed_s >= limit then
        host.raise("history", ("the rollback of run %s took %s, not under %s"):format(run.run, host.duration_text(back.elapsed_s), t.below))
      end
      return true
    end
  end
  refuse(("no run of this version of \"%s\" was rolled back%s%s"):format(program.header().name, place(t), span(t)), list, t)
end

-- The newest run that has ended: {run, outcome, started, elapsed, window, rolled_back, rollback_time, goals = {name = {state, met, value, actual, target}}}.
function M.last(t)
  for _, run in ipairs(runs(t)) do
    if run.finished then
      local facts = { run = run.run, outcome = run.outcome, started = run.started, rolled_back = run.outcome == "rolled_back", goals = {} }
      for _, event in ipairs(run.events) do
        local data = event.data
        if event.event == "goal.judged" then
          facts.goals[data.name] = { state = data.state, met = data.state == "met", value = data.value, actual = data.actual, target = data.target }
        elseif event.event == "run.finished" then facts.elapsed, facts.window = data.elapsed_s, data.window_s
        elseif event.event == "rollback.finished" then facts.rollback_time = data.elapsed_s end
      end
      return facts
    end
  end
  host.raise("history", ("no run of \"%s\" has ended%s%s"):format(program.header().name, place(t), span(t)))
end

program.language.past = M
return M

-- Turns a loaded program into one of its follow-ups: what it does becomes the track, and the items of the playbook itself keep the
-- results that the journal of the run has. Called by the host before the run begins.
local host, program = ...

-- The instants of a follow-up of a run that ended at `ended`.
function program.followup_times(entry, ended)
  local t = entry.t
  if entry.when then return { program.dates.instant(entry.when, ended, ended) } end
  local first = host.parse_duration(t.after or t.every)
  local times = {}
  for i = 1, t.times or 1 do times[i] = ended + first + (i - 1) * (t.every and host.parse_duration(t.every) or 0) end
  return times
end

local function results_of(history)
  for _, event in ipairs(history) do
    local item, data = program.names[event.step], event.data
    if item then
      if event.event == "step.finished" then item.status, item.result, item.elapsed = "finished", data.result, data.elapsed_s
      elseif event.event == "step.captured" then item.saved = data.saved
      elseif event.event == "step.skipped" then item.status = "skipped"
      elseif event.event == "checkpoint.judged" and data.passed then item.status, item.result, item.elapsed = "finished", data.result, data.elapsed_s
      elseif event.event == "gate.answered" and item.kind == "gate" then item.status, item.result = "finished", data end
    end
  end
end

function program.choose_followup()
  local chosen = host.followup()
  local entry
  for _, one in ipairs(program.followups) do
    if one.name == chosen.name then entry = one end
  end
  if not entry then host.raise_usage(("run %s has no follow-up \"%s\""):format(chosen.parent, chosen.name)) end
  results_of(host.parent_history())
  for i = #program.track, 1, -1 do program.track[i] = nil end
  for i, item in ipairs(entry.items) do item.index, program.track[i] = i, item end
  for i = #program.notices, 1, -1 do program.notices[i] = nil end
  local t = program.header().t
  t.window, t.goals, t.start = nil, nil, nil
  for _, parameter in ipairs(program.parameters) do parameter.t.empty = nil end -- it was, before the run
  program.chosen = chosen
end

-- Follow-ups of a run: scheduled in its journal when it succeeds, and, in the run of one, what nobody started in time.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local grace = 3600 -- later than this is told

local function minute(at) return host.iso(at):sub(1, 16):gsub("T", " ") .. " UTC" end

-- One event followup.scheduled for each, with the instants of all its occurrences.
function M.schedule()
  if program.chosen then return end
  local ended = host.now()
  for _, entry in ipairs(program.followups) do
    local times = {}
    for i, at in ipairs(program.followup_times(entry, ended)) do times[i] = host.iso(at) end
    host.append("followup.scheduled", "", { followup = entry.name, slug = entry.slug, at = times, owner = entry.t.owner or entry.t.role,
      why = ("follow-up \"%s\" %s%s: `runbook due` starts it"):format(entry.name, minute(host.parse_time(times[1])),
        #times > 1 and (", %d times, every %s"):format(#times, entry.t.every) or "") })
  end
end

-- In the run of a follow-up: how late it is, and which occurrences were left out.
function M.say_missed()
  local chosen = program.chosen
  if not chosen then return end
  for _, number in ipairs(chosen.missed) do
    host.append("followup.missed", "", { followup = chosen.name, number = number, parent = chosen.parent,
      why = ("follow-up \"%s\" of run %s: number %d was not started in time, and is left out"):format(chosen.name, chosen.parent, number) })
  end
  local late = host.now() - chosen.due
  if late > grace then
    host.append("followup.missed", "", { followup = chosen.name, number = chosen.number, parent = chosen.parent, late_s = late, due = host.iso(chosen.due),
      why = ("follow-up \"%s\" of run %s was due %s ago"):format(chosen.name, chosen.parent, host.duration_text(math.floor(late / 60) * 60)) })
  end
end

return M

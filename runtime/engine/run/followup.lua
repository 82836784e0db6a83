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

-- After a rollback: one event task.opened for each thing that people have to do now, and one message with all of them.
function M.open_tasks()
  local roles, lines = program.header().t.roles or {}, {}
  for _, entry in ipairs(program.after_rollback) do
    for _, task in ipairs(entry.t.tasks) do
      local owner = task.owner or entry.t.owner
      local by = task.by and host.now() + host.parse_duration(task.by)
      local text = task[1] .. (by and (", by %s"):format(minute(by)) or "") .. (owner and (" (%s)"):format(roles[owner] or owner) or "")
      host.append("task.opened", "", { list = entry.name, task = task[1], owner = owner, by = by and host.iso(by) or nil, why = "to do: " .. text })
      lines[#lines + 1] = "- " .. text
    end
  end
  local to = engine.outbox.updates_to()
  if #lines > 0 and #to > 0 then
    engine.outbox.post({ key = host.run_id() .. "/tasks", about = "tasks", title = program.header().name, text = "To do after the rollback:\n" .. table.concat(lines, "\n") }, to)
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

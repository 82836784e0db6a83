-- What people are told about planned work on a database, in words that fit any of it: before (days, hours, minutes ahead), during, and after.
--   local communications = require "communications"
--   local say = communications.texts { what = "the move to MySQL 8", service = "Reline", downtime = "30 minutes", contact = "#migration-mysql8" }
--   playbook "move" { updates = { to = "migration", every = "15m", templates = say.posts, … } }
--   notice "users: a week ahead" { at = "T-7d", to = "users", text = say.week_ahead }
-- Words in braces that this module does not know ({start}, {elapsed}, {why} …) are filled in by the run when it posts.
local declare = require "declare"
local M, def = declare.module("communications", "What people are told about planned work: announcements, status posts, completion, rollback, incidents.")

local texts = {}

-- before the work ------------------------------------------------------------------------------------------------------

texts.week_ahead = [[
Planned maintenance: {service}

On {start} we carry out {what}. {service} will be unavailable for about {downtime}.
You need not do anything. Please save what you are working on before then.
We will remind you the day before. Questions: {contact}.]]

texts.day_ahead = [[
Reminder: maintenance of {service} tomorrow

{what_first} begins on {start}. {service} will be unavailable for about {downtime}.
Questions: {contact}.]]

texts.stakeholders = [[
Change announced: {what}

When: {start}, unavailable for about {downtime}
Affected: {service}
Way back: prepared and rehearsed; it takes up to {rollback}
Progress is posted in {contact}. Please raise objections there before the work begins.]]

texts.support = [[
For the support team: {what}

From {start} {service} shows a maintenance page for about {downtime}. Users who ask may be told so; nothing of theirs is lost.
Report anything else that users see during the two hours after it in {contact}.]]

texts.preparation = [[
{what_first} is on {start}. By then, please:
- finish your items of the checklist (runbook show {run})
- say here whether you are available, and who stands in for you
- name who is on call during the work and the day after
- check that dashboards, alerts and the status page are reachable for you]]

texts.team_soon = [[
{what_first} begins on {start}. The team meets in {contact} before it: who does what, what decides about going back, who may decide.]]

texts.go_no_go = [[
{what_first} begins on {start}: go or no go? Say it in {contact} now. Without a go from everybody who is asked, it does not begin.]]

texts.hour_ahead = [[
{what_first} begins on {start}. No other deployments from now on, please. On call and stakeholders have been told; the channel is {contact}.]]

-- during the work ------------------------------------------------------------------------------------------------------

local posts = {}

posts.started = [[
{what_first} has begun (started by {by}).
Purpose: {summary}
Unavailable for about {downtime}. {beat}]]

posts.update = [[
{time} UTC - {what}
Progress: {progress} %
Current step: {step}
Elapsed: {elapsed}
Next checkpoint: {next_checkpoint}
Status: {status}]]

posts.held = [[
{what_first} waits for people: {why}.
Nothing goes on until they have answered. Elapsed: {elapsed}.]]

posts.failed = [[
{what_first} has stopped: {why}.
It has not been undone as a whole. Who sees to it, and when the next news comes, is posted in {contact}.]]

posts.rollback = [[
We go back: {why}.
The maintenance page stays on until everything is as it was. This takes up to {rollback}.
On the way back for: {rollback_elapsed}. {beat_back}]]

posts.rolled_back = [[
{what_first} was undone, and {service} is as it was before. The way back took {rollback_elapsed}.
Reason: {why}.
We look for the cause first. A new date will be announced.]]

posts.done = [[
{what_first} is done, and {service} is available.
Duration: {elapsed}
We watch it closely for {watch}. Please report anything unusual in {contact}. Thank you for your patience.]]

-- the status page: public, so it names no step, no reason and no person -------------------------------------------------

local public = {}

public.started = [[
Maintenance in progress. {service} is unavailable for about {downtime}.]]
public.update = [[
Maintenance continues. The next news follows within {every}.]]
public.held = [[
Maintenance takes longer than planned. We work on it, and will post the next news here.]]
public.failed = [[
Maintenance takes longer than planned. We work on it, and will post the next news here.]]
public.rollback = [[
We end the maintenance early and restore {service}. This takes up to {rollback}.]]
public.rolled_back = [[
The maintenance has ended early, and {service} is available. Another date will be announced.]]
public.done = [[
The maintenance is complete. All systems are operational.]]

-- after the work -------------------------------------------------------------------------------------------------------

texts.completed = [[
{what_first} has been completed.

Began: {result.began}
Ended: {result.ended}
Duration: {elapsed}
Unavailable: {result.downtime}
Data: {result.tables} tables, {result.rows} rows, {result.mismatches} differences

{service} runs on the new system, and its checks pass. We watch it closely for {watch}, and report once a day for a week.
What was replaced is kept for {kept}.]]

texts.daily = [[
Day {number} after {what}

Response time (95 %): {result.p95}
Errors: {result.errors}
Connections in use: {result.pool}
Uptime: {result.uptime}
Incidents: {result.incidents}
Against the time before: {result.comparison}
To do: {result.actions}
Recommendation: {result.recommendation}]]

texts.final = [[
{what_first}: final report

Uptime: {result.uptime}
Average response time: {result.average}
Errors: {result.errors}
Against the time before: {result.comparison}
Incidents: {result.incidents}
Recommendation: {result.recommendation}]]

texts.stable = [[
{what_first} is a success: stable for {watch}, within its limits, without a critical incident, and the team has signed off.
Next: what was replaced is removed after {kept}, the documents are filed, and we look back together.]]

-- an incident: what people are told when something breaks, with or without planned work ---------------------------------

local incident = {}

incident.investigating = [[
We are looking into a problem with {service}: {impact}. The next news follows within {every}.]]
incident.identified = [[
We have found the cause of the problem with {service}, and are working on it. The next news follows within {every}.]]
incident.monitoring = [[
The problem with {service} is fixed. We watch whether it stays so.]]
incident.resolved = [[
The problem with {service} is over. It lasted {lasted}. What happened, and what we change, follows.]]

-- Alerts and escalations, for `tell`, questions and the phone.
local alerts = {}

alerts.warning = [[
{service}: {impact}. Nobody has to do anything yet; {contact} watches it.]]
alerts.critical = [[
{service}: {impact}. Somebody has to see to it now: {contact}.]]
alerts.escalated = [[
{service}: {impact}. Nobody has answered for {every}; this is now with {escalation}, who decides within {decide}.]]

local groups = { posts = posts, public = public, incident = incident, alerts = alerts }

-- filled in by the run, when it posts
local by_run = { playbook = true, summary = true, run = true, start = true, time = true, progress = true, step = true, elapsed = true, next_checkpoint = true,
  status = true, why = true, by = true, rollback_elapsed = true, number = true }

local function fill(text, values, missing)
  return (text:gsub("{([%w_.]+)}", function(name)
    if by_run[name] or name:find "^result%." then return nil end
    local value = values[name]
    if value == nil then missing[name] = true end
    return value
  end):gsub("%s+$", ""))
end

local function capital(text) return (text:gsub("^%l", string.upper)) end

local function values_of(o)
  local values = {}
  for name, value in pairs(o) do values[name] = value end
  values.what_first = capital(o.what)
  values.beat = ("News follows every %s."):format(o.every)
  values.beat_back = ("News follows every %s until then."):format(o.every_back)
  return values
end

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local options = { what = { "text", "the work, within a sentence: the move to MySQL 8", required = true }, service = { "text", "what users call what is worked on", required = true },
  downtime = { "text", "how long it is unavailable, in words", default = "a few minutes" }, contact = { "text", "where people ask and are told", default = "the usual channel" },
  rollback = { "text", "how long the way back takes, in words", default = "15 minutes" }, every = { "text", "how often there is news", default = "15 minutes" },
  every_back = { "text", "how often on the way back", default = "5 minutes" }, watch = { "text", "how long it is watched closely", default = "24 hours" },
  kept = { "text", "how long what was replaced is kept", default = "30 days" }, impact = { "text", "what users notice, in an incident", default = "it answers slowly or not at all" },
  lasted = { "text", "how long an incident lasted", default = "a while" }, escalation = { "text", "who decides when nobody answers", default = "the manager on call" },
  decide = { "text", "within which time", default = "10 minutes" } }

def "texts" { doc = "All texts, filled in with what is known before the work; what only the run knows is filled in when it posts.", { "options", options, "what it is about" },
  returns = { "table", "week_ahead, day_ahead, stakeholders, support, preparation, team_soon, go_no_go, hour_ahead; posts (for updates.templates: started, update, held, failed, rollback, rolled_back, done) and public (the same for a status page); completed, daily, final, stable; incident.investigating, identified, monitoring, resolved; alerts.warning, critical, escalated" },
  raises = { "argument" },
  example = [[local say = communications.texts { what = "the move to MySQL 8", service = "Reline", downtime = "30 minutes", contact = "#migration-mysql8" }]],
  run = function(o)
    local values, missing, filled = values_of(o), {}, {}
    for name, text in pairs(texts) do filled[name] = fill(text, values, missing) end
    for group, members in pairs(groups) do
      filled[group] = {}
      for name, text in pairs(members) do filled[group][name] = fill(text, values, missing) end
    end
    local names = sorted(missing)
    if #names > 0 then error { kind = "internal", message = "communications: no value for " .. table.concat(names, ", ") } end
    return filled
  end }

return M

---@meta communications
-- Generated from the declarations in stdlib/.

---What people are told about planned work: announcements, status posts, completion, rollback, incidents. In a playbook: `local communications = require "communications"`.
---@class communicationslib
local communications = {}

---@class communications.texts.options
---@field contact? string where people ask and are told (the usual channel)
---@field decide? string within which time (10 minutes)
---@field downtime? string how long it is unavailable, in words (a few minutes)
---@field escalation? string who decides when nobody answers (the manager on call)
---@field every? string how often there is news (15 minutes)
---@field every_back? string how often on the way back (5 minutes)
---@field impact? string what users notice, in an incident (it answers slowly or not at all)
---@field kept? string how long what was replaced is kept (30 days)
---@field lasted? string how long an incident lasted (a while)
---@field rollback? string how long the way back takes, in words (15 minutes)
---@field service string what users call what is worked on
---@field watch? string how long it is watched closely (24 hours)
---@field what string the work, within a sentence: the move to MySQL 8

---All texts, filled in with what is known before the work; what only the run knows is filled in when it posts.
---@param options communications.texts.options what it is about
---@return table week_ahead, day_ahead, stakeholders, support, preparation, team_soon, go_no_go, hour_ahead; posts (for updates.templates: started, update, held, failed, rollback, rolled_back, done) and public (the same for a status page); completed, daily, final, stable; incident.investigating, identified, monitoring, resolved; alerts.warning, critical, escalated
function communications.texts(options) end

return communications

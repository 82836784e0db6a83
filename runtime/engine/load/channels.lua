-- Finds, while the file loads, where messages are to go and cannot: channels that nobody declared, templates that are not there,
-- secrets of a channel that are not set. Adds program.each_destination and program.check_channels.
local host, program = ...

-- visit(at, who, option, channel) for every channel that the playbook names.
function program.each_destination(visit)
  local header = program.header()
  local updates = header.t.updates
  local function all(at, who, option, value)
    for _, channel in ipairs(value and program.list_of(value) or {}) do visit(at, who, option, channel) end
  end
  if updates then
    local who = program.label("playbook", header.name) .. ": updates"
    all(header, who, "to", updates.to)
    for _, key in ipairs { "started", "rolled_back", "done" } do all(header, who, "also." .. key, (updates.also or {})[key]) end
    if updates.status_page then all(header, who, "status_page", updates.status_page == true and "status_page" or updates.status_page) end
  end
  for _, notice in ipairs(program.notices) do all(notice, program.label("notice", notice.name), "to", notice.t.to) end
  local function told(item, verdict)
    if type(verdict) == "table" and verdict.verdict == "tell" then all(item, program.label(item.kind, item.name), "tell", verdict.channels) end
  end
  for _, item in ipairs(program.track) do
    local rows = item.kind == "checkpoint" and item.t.fail or {}
    for _, row in ipairs(rows) do told(item, row[1]) end
    told(item, rows.otherwise)
    for _, rule in ipairs(item.rules or {}) do told(item, rule.verdict) end
    if item.t.no_data ~= nil then told(item, item.no_data) end -- else it is one of the rules'
  end
  for _, followup in ipairs(program.followups or {}) do all(followup, program.label("followup", followup.name), "to", followup.t.to) end
end

function program.check_channels(add)
  local known, given = host.channels(), host.given()
  local begins = given.complete
  local settings = host.settings_file()
  program.each_destination(function(at, who, option, channel)
    local entry = known[channel]
    if not entry then
      -- without a runbook.toml a plan can still be drawn, but nothing can be run
      add(at, ("%s: option '%s': no channel '%s'%s"):format(who, option, channel,
        settings and host.did_you_mean(channel, known) .. "; `runbook channels FILE` lists those of its runbook.toml" or (": there is no runbook.toml beside the playbook that declares [channels.%s]"):format(
          channel:match "^[%w_-]+$" and channel or ('"%s"'):format(channel))), not begins and not settings)
    elseif begins then
      if entry.problem then add(at, ("%s: option '%s': %s"):format(who, option, entry.problem)) end
      for _, name in ipairs(entry.leads_to or {}) do
        if known[name].problem then add(at, ("%s: option '%s': '%s' leads to a channel that cannot be used: %s"):format(who, option, channel, known[name].problem)) end
      end
    end
  end)
  for _, list in ipairs { program.notices, program.followups } do
    for _, entry in ipairs(list) do
      if entry.t.template then
        local text, path = program.template(entry.t.template)
        if not text then add(entry, ("%s: option 'template': there is no %s beside the playbook"):format(program.label(entry.kind, entry.name), path), not begins) end
      end
    end
  end
end

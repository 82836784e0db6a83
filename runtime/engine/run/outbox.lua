-- Messages of a run, durable: each is journaled (notify.queued) before anything is sent, so that a crash loses none, and goes to each
-- channel once (the journal knows which keys were sent). Each channel has a task of its own that sends in order, so that a slow
-- receiver holds up neither the run nor another one; only a channel that is `required` is waited for.
-- Rule 14 of docs/playbook.md: what cannot be delivered is in the journal and the report, and fails nothing.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

local settled = {}  -- [channel][key]: queued, sent or failed; nobody queues it again
local threads = {}  -- channel = what its first message of the run got back
local open = {}     -- [channel][incident] = true: triggered, and not resolved
local queues = {}   -- channel = { list of entries, task }
local unsent = {}   -- what an earlier process of the run left, in order: { message, channel }
local longest_wait = 60 -- seconds that the end of a run waits for receivers

local fields = { "text", "title", "level", "step", "data", "stage", "action", "incident", "about" }

local function known(channel, key) return settled[channel] and settled[channel][key] end
local function remember(channel, key)
  settled[channel] = settled[channel] or {}
  settled[channel][key] = true
end

local function note_incident(channel, message)
  if not message.incident then return end
  open[channel] = open[channel] or {}
  if message.action == "trigger" then open[channel][message.incident] = true
  elseif message.action == "resolve" then open[channel][message.incident] = nil end
end

function M.restore(history)
  local waiting, order = {}, {}
  for _, event in ipairs(history) do
    local data = event.data
    if event.event == "notify.queued" then
      for _, channel in ipairs(data.channels) do
        local message = { key = data.key, again = true }
        for _, field in ipairs(fields) do message[field] = data[field] end
        message.step = event.step ~= "" and event.step or nil
        local entry = { message = message, channel = channel }
        waiting[channel .. "\0" .. data.key], order[#order + 1] = entry, entry
        remember(channel, data.key)
        note_incident(channel, message)
      end
    elseif (event.event == "notify.sent" or event.event == "notify.failed") and data.key then
      remember(data.channel, data.key)
      local entry = waiting[data.channel .. "\0" .. data.key]
      if entry then entry.over = true end
      if event.event == "notify.sent" then
        threads[data.channel] = threads[data.channel] or data.thread
        if host.outbox then host.outbox.remember(data.channel, data.key) end
      end
    end
  end
  for _, entry in ipairs(order) do
    if not entry.over then unsent[#unsent + 1] = entry end
  end
  if host.outbox then host.outbox.run(host.run_id()) end
end

-- Whether every channel of the list had the message already.
function M.was_sent(channels, key)
  for _, channel in ipairs(channels) do
    if not known(channel, key) then return false end
  end
  return true
end

-- Sends one message to one channel and journals what came of it.
local function send(entry)
  local message, channel = entry.message, entry.channel
  local delivery = host.outbox.deliver { to = { channel }, text = message.text, title = message.title, level = message.level or "info", key = message.key,
    run = host.run_id(), step = message.step, data = message.data, stage = message.stage, action = message.action, incident = message.incident,
    thread = threads[channel], again = entry.message.again or nil }[1]
  local data = { channel = channel, key = message.key, text = delivery and delivery.text or message.text, about = message.about }
  if delivery and delivery.delivered then
    data.receipt = delivery.receipt
    data.attempts = delivery.attempts > 1 and delivery.attempts or nil
    if not threads[channel] and delivery.thread ~= "" then threads[channel], data.thread = delivery.thread, delivery.thread end
    host.append("notify.sent", message.step or "", data)
  else
    entry.error = delivery and delivery.error or "the channel takes no messages of this level"
    data.error = entry.error
    data.attempts = delivery and delivery.attempts or nil
    host.append("notify.failed", message.step or "", data)
  end
end

local function enqueue(entry)
  local queue = queues[entry.channel] or { list = {} }
  queues[entry.channel] = queue
  queue.list[#queue.list + 1] = entry
  if queue.task and not host.ended(queue.task) then return end
  queue.task = host.spawn(function()
    while queue.list[1] do
      queue.sending = table.remove(queue.list, 1)
      send(queue.sending)
      queue.sending.over = true
      queue.sending = nil
    end
  end)
end

-- What an earlier process did not get rid of, before anything new.
local function catch_up()
  local left = unsent
  unsent = {}
  local there = host.channels()
  for _, entry in ipairs(left) do
    if there[entry.channel] and not there[entry.channel].problem then enqueue(entry)
    else
      host.append("notify.failed", entry.message.step or "", { channel = entry.channel, key = entry.message.key, text = entry.message.text,
        error = there[entry.channel] and there[entry.channel].problem or "there is no such channel any more" })
    end
  end
end
M.catch_up = catch_up

-- Where a message goes: routes resolved by its level, and of the incidents' channels only those that it is for.
local function destinations(message, channels, there)
  local list = {}
  for _, channel in ipairs(host.outbox and host.outbox.route { to = channels, level = message.level } or channels) do
    local incidents = there[channel] and there[channel].incidents
    if not known(channel, message.key) and not (incidents and message.settles) then list[#list + 1] = channel end
  end
  return list
end

-- Posts {key, text, title, level, step, about, data, stage} to the channels; with `settles` it opens no incident. Returns nil, or what
-- a required channel answered.
function M.post(message, channels)
  if #unsent > 0 then catch_up() end
  local there = host.channels()
  local others, console = {}, false
  for _, channel in ipairs(destinations(message, channels, there)) do
    if channel == "console" then console = true else others[#others + 1] = channel end
    remember(channel, message.key)
  end
  if console then
    common.journal("notify.sent", message.step and { name = message.step } or nil, { channel = "console", key = message.key, text = message.text, about = message.about })
  end
  local waited = {}
  -- one event for the chats, and one for those that keep incidents
  for _, incidents in ipairs { false, true } do
    local to, data = {}, { key = message.key }
    for _, channel in ipairs(others) do
      if (there[channel] and there[channel].incidents or false) == incidents then to[#to + 1] = channel end
    end
    if #to > 0 then
      for _, field in ipairs(fields) do data[field] = message[field] end
      if incidents then
        data.action = message.action or "trigger"
        data.incident = message.incident or (message.step and ("%s/%s"):format(host.run_id(), message.step) or host.run_id())
      end
      data.channels, data.step = to, nil
      host.append("notify.queued", message.step or "", data)
      local queued = { key = message.key, step = message.step }
      for _, field in ipairs(fields) do queued[field] = queued[field] or data[field] end
      for _, channel in ipairs(to) do
        note_incident(channel, queued)
        local entry = { message = queued, channel = channel }
        enqueue(entry)
        if there[channel] and there[channel].required then waited[#waited + 1] = entry end
      end
    end
  end
  local refused
  for _, entry in ipairs(waited) do
    while not entry.over do
      if host.ended(queues[entry.channel].task) then break end
      host.join(queues[entry.channel].task)
    end
    if entry.error then refused = refused or ("channel \"%s\" (required): %s"):format(entry.channel, entry.error) end
  end
  return refused
end

-- What was triggered in this run and is still open, in the order of channels: acknowledged (a person sees to it), or resolved.
local function tell_incidents(action, text)
  for _, channel in ipairs(host.sorted_keys(open)) do
    for _, incident in ipairs(host.sorted_keys(open[channel])) do
      local message = { key = ("%s/%s/%s/%s"):format(host.run_id(), action, incident, host.iso(host.now())), text = text, level = "critical", action = action,
        incident = incident, about = "incident" }
      M.post(message, { channel })
    end
  end
end

-- A run that goes on does so because a person said so, but for `runbook due`.
function M.begin(mode)
  if #unsent > 0 then catch_up() end
  if mode ~= "exec" and next(open) then tell_incidents("acknowledge", ("%s: %s goes on with it (%s)"):format(program.header().name, host.user(), mode or "resume")) end
end

function M.finish(outcome)
  if outcome == "succeeded" or outcome == "rolled_back" then
    tell_incidents("resolve", ("%s: %s"):format(program.header().name, outcome == "succeeded" and "done" or "rolled back"))
  end
end

local function busy()
  for _, channel in ipairs(host.sorted_keys(queues)) do
    local queue = queues[channel]
    if queue.task and not host.ended(queue.task) then return queue.task end
  end
end

-- Waits until everything went out, but not longer than receivers deserve. What did not is journaled as failed; of a run that is held
-- it stays queued, and the next process of the run sends it.
function M.drain(held)
  if #unsent > 0 then catch_up() end
  if not busy() then return end
  common.limited(longest_wait, function()
    while busy() do host.join(busy()) end
  end)
  for _, channel in ipairs(host.sorted_keys(queues)) do
    local queue = queues[channel]
    if queue.task and not host.ended(queue.task) then host.cancel(queue.task, "the run has ended") end
    local trouble = host.outbox.trouble(channel)
    if queue.sending then table.insert(queue.list, 1, queue.sending) end
    for _, entry in ipairs(held and {} or queue.list) do
      if not entry.over then
        entry.error = ("not sent within %s: %s; try it: runbook channels --test %s"):format(host.duration_text(longest_wait),
          trouble ~= "" and trouble or "the channel was busy", channel)
        entry.over = true
        host.append("notify.failed", entry.message.step or "", { channel = channel, key = entry.message.key, text = entry.message.text, error = entry.error })
      end
    end
  end
  queues = {}
end

-- The channels of the header's updates.
function M.updates_to()
  local updates = program.header().t.updates
  return updates and program.list_of(updates.to) or {}
end

return M

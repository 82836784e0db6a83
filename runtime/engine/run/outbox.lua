-- Messages of a run: each goes to each channel once, also over a resume (the journal knows which keys were sent). They go out in
-- order from a task beside the run, so that a slow receiver holds nothing up; only a channel that is `required` is waited for.
-- Rule 14 of docs/playbook.md: what cannot be delivered is in the journal and the report, and fails nothing.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

local sent = {} -- [channel][key]
local queue, pump = {}, nil
local longest_wait = 60 -- seconds that the end of a run waits for receivers

local function known(channel, key) return sent[channel] and sent[channel][key] end
local function remember(channel, key)
  sent[channel] = sent[channel] or {}
  sent[channel][key] = true
end

function M.restore(history)
  for _, event in ipairs(history) do
    if (event.event == "notify.sent" or event.event == "notify.failed") and event.data.key then remember(event.data.channel, event.data.key) end
  end
end

-- Whether every channel of the list had the message already.
function M.was_sent(channels, key)
  for _, channel in ipairs(channels) do
    if not known(channel, key) then return false end
  end
  return true
end

-- Sends one message to one channel and journals what came of it. Returns nil, or the error text.
local function send(message, channel)
  local delivery = host.outbox.deliver { to = { channel }, text = message.text, title = message.title, level = message.level or "info",
    key = message.key, run = host.run_id(), step = message.step, data = message.data }[1]
  remember(channel, message.key)
  local data = { channel = channel, key = message.key, text = delivery.text, about = message.about }
  if delivery.delivered then
    data.receipt = delivery.receipt
    host.append("notify.sent", message.step or "", data)
    return nil
  end
  data.error = delivery.error
  host.append("notify.failed", message.step or "", data)
  return delivery.error
end

local function work()
  while #queue > 0 do
    local entry = table.remove(queue, 1)
    send(entry.message, entry.channel)
  end
  pump = nil
end

-- Posts {key, text, title, level, step, about, data} to the channels. Returns nil, or what a required channel answered.
function M.post(message, channels)
  local channels_known = host.channels()
  local refused
  for _, channel in ipairs(channels) do
    if not known(channel, message.key) then
      remember(channel, message.key) -- queued counts: nobody queues it again in this process
      if channel == "console" then
        common.journal("notify.sent", message.step and { name = message.step } or nil, { channel = channel, key = message.key, text = message.text, about = message.about })
      elseif channels_known[channel] and channels_known[channel].required then
        local problem = send(message, channel)
        if problem then refused = refused or ("channel \"%s\" (required): %s"):format(channel, problem) end
      else
        queue[#queue + 1] = { message = message, channel = channel }
        if not pump or host.ended(pump) then pump = host.spawn(work) end
      end
    end
  end
  return refused
end

-- Waits until everything went out, but not longer than receivers deserve; what did not is journaled as failed.
function M.drain()
  if not pump then return end
  local task = pump
  local ok = common.limited(longest_wait, function() return host.join(task) end)
  if ok and #queue == 0 then return end
  if not host.ended(task) then host.cancel(task, "the run has ended") end
  for _, entry in ipairs(queue) do
    host.append("notify.failed", entry.message.step or "", { channel = entry.channel, key = entry.message.key, text = entry.message.text,
      error = ("not sent: the channel was busy for %s"):format(host.duration_text(longest_wait)) })
  end
  queue, pump = {}, nil
end

-- The channels of the header's updates.
function M.updates_to()
  local updates = program.header().t.updates
  return updates and program.list_of(updates.to) or {}
end

return M

-- What a step says when it is done: to the console and to the channels of the header's `updates`, once for each time it was done.
local engine = ...
local host, program = engine.host, engine.program
local M = {}

local times = {} -- how often an item was done, over all processes of the run

local function value_of(path, values)
  local value = values
  for key in path:gmatch "[^.]+" do
    value = type(value) == "table" and value[key] or nil
    if value == nil then return nil end
  end
  return value
end

-- `text` with {result.rows} and the like filled in; what is not known stays as it stands.
function M.fill(text, values)
  return (text:gsub("{([%w_.]+)}", function(path)
    local value = value_of(path, values)
    if value == nil then return nil end
    if type(value) == "number" and path:find "bytes$" then return host.bytes_text(value) end
    if type(value) == "number" and path:find "elapsed$" then return host.duration_text(math.floor(value + 0.5)) end
    if type(value) == "number" and value % 1 == 0 then return host.grouped(value) end
    return tostring(value)
  end))
end

local function post(item, n)
  local channels = { "console" }
  for _, channel in ipairs(engine.outbox.updates_to()) do channels[#channels + 1] = channel end
  return engine.outbox.post({ key = ("%s/says/%s/%d"):format(host.run_id(), item.name, n), step = item.name, about = "says",
    text = M.fill(item.t.says, { result = item.result, elapsed = item.elapsed, id = type(item.result) == "table" and item.result.id or nil,
      bytes = type(item.result) == "table" and item.result.bytes or nil }) }, channels)
end

-- What follows where a required channel did not take it.
local function outcome(item, problem)
  if problem then return { verdict = "rollback", why = ("%s: %s"):format(program.label(item.kind, item.name), problem), item = item } end
end

function M.done(item)
  times[item.name] = (times[item.name] or 0) + 1
  if item.posts then -- the report of a follow-up
    local text = item.posts.text or program.template(item.posts.template)
    if text then
      engine.outbox.post({ key = ("%s/posts/%s/%d"):format(host.run_id(), item.name, times[item.name]), step = item.name, about = "followup",
        title = program.header().name, text = (M.fill(text, { result = item.result, elapsed = item.elapsed, run = program.chosen and program.chosen.parent,
          playbook = program.header().name, number = program.chosen and program.chosen.number }):gsub("%s+$", "")) }, program.list_of(item.posts.to))
    end
  end
  if item.t.says then return outcome(item, post(item, times[item.name])) end
end

-- After a resume: says what a crash kept from being said.
function M.restore(history)
  for _, event in ipairs(history) do
    if event.event == "step.finished" or event.event == "checkpoint.judged" and event.data.passed then
      times[event.step] = (times[event.step] or 0) + 1
    end
  end
end
function M.catch_up()
  for _, item in ipairs(program.track) do
    if item.t.says and item.status == "finished" and times[item.name] then post(item, times[item.name]) end
  end
end

return M

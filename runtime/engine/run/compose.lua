-- parallel, race, every, sleep and deadline, for the functions of a playbook. Rule 11 of docs/playbook.md: the first failure
-- cancels the siblings and waits for them, so that nothing goes on behind the back of who called.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local M = {}

-- Sleeps from here on are kept in the journal: after a restart only the rest is slept.
local DURABLE_FROM_S = 1

local function scope() return engine.substep.scope() or { path = "", count = 0 } end

local function seconds(word, name, value)
  local found = (type(value) == "string" or type(value) == "number" and value >= 0) and host.parse_duration(value) or nil
  if not found then
    host.raise("argument", ("%s: %s: a duration such as 30s or 10m expected, got %s"):format(word, name, type(value) == "string" and ("'%s'"):format(value) or host.type_word(value)))
  end
  return found
end

local function check_function(word, name, fn)
  if type(fn) ~= "function" then host.raise("argument", ("%s: %s: a function expected, got %s"):format(word, name, host.type_word(fn))) end
end

-- The branches in declared order: a list as it stands, names by the line where their function begins, then by name.
local function branches_of(word, t)
  if type(t) ~= "table" then host.raise("argument", ("%s: a table of functions expected, got %s"):format(word, host.type_word(t))) end
  local list, named = {}, {}
  for i, fn in ipairs(t) do list[i] = { name = i, shown = "branch " .. i, fn = fn } end
  for _, name in ipairs(host.sorted_keys(t)) do
    if not (type(name) == "number" and list[name]) then
      local place = type(t[name]) == "function" and host.place(t[name])
      named[#named + 1] = { name = name, shown = ('branch "%s"'):format(tostring(name)), fn = t[name], line = place and place.line or 0, at = #named }
    end
  end
  table.sort(named, function(a, b) return a.line < b.line or a.line == b.line and a.at < b.at end)
  for _, branch in ipairs(named) do list[#list + 1] = branch end
  if #list == 0 then host.raise("argument", word .. ": at least one function expected") end
  for _, branch in ipairs(list) do check_function(word, branch.shown, branch.fn) end
  return list
end

local function cancel_all(list, why, timeout)
  for _, branch in ipairs(list) do
    if not host.ended(branch.task) then host.cancel(branch.task, why, timeout) end
  end
end

-- Runs the branches as tasks of their own. `decides(branch)` says whether its end ends the others. All have ended when this
-- returns, also where the caller is cancelled or over its time. Returns the branch that decided.
local function run_all(word, list, decides)
  local parent = scope()
  local base = engine.substep.next_path(parent)
  local decided
  for i, branch in ipairs(list) do
    branch.task = host.spawn(function()
      engine.substep.set_scope { item = parent.item, sub = parent.sub, path = base .. ("%05d."):format(i), count = 0 }
      branch.ok, branch.result = host.try(branch.fn)
      if not decided and decides(branch) then
        decided = branch
        cancel_all(list, ("cancelled: %s %s"):format(branch.shown, branch.ok and "was first" or "failed"))
      end
    end)
  end
  local stopped
  for _, branch in ipairs(list) do
    local fine, ok, problem = host.try(host.join, branch.task)
    if not fine and not stopped then
      stopped = ok
      cancel_all(list, "cancelled: " .. word .. " was cancelled", ok.kind == "timeout")
    end
    if not fine then ok, problem = host.join(branch.task, true) end
    if not ok and branch.ok == nil then branch.ok, branch.result = false, problem end -- the watchdog, or no memory
  end
  if stopped then
    for _, branch in ipairs(list) do
      if not branch.ok and branch.result.in_doubt then stopped.in_doubt = true end
    end
    error(stopped, 0)
  end
  return decided
end

-- While a step is replayed for its undo, one branch after the other: each comes as far as it came.
local function replay_all(list)
  local parent = scope()
  local base = engine.substep.next_path(parent)
  local first
  for i, branch in ipairs(list) do
    engine.substep.set_scope { item = parent.item, path = base .. ("%05d."):format(i), count = 0 }
    branch.ok, branch.result = host.try(branch.fn)
    if not branch.ok then first = first or branch end
  end
  engine.substep.set_scope(parent)
  return first
end

local function replaying() return (scope().item or {}).replaying end

local function raise_branch(branch, list)
  local problem = branch.result
  for _, other in ipairs(list) do
    if not other.ok and type(other.result) == "table" and other.result.in_doubt then problem.in_doubt = true end
  end
  problem.message = ("%s: %s"):format(branch.shown, problem.message)
  error(problem, 0)
end

function M.parallel(t)
  local list = branches_of("parallel", t)
  local failed
  if replaying() then failed = replay_all(list) else failed = run_all("parallel", list, function(branch) return not branch.ok end) end
  if failed then
    if failed.result.kind == "replay" then error(failed.result, 0) end
    raise_branch(failed, list)
  end
  local results = {}
  for _, branch in ipairs(list) do results[branch.name] = branch.result end
  return results
end

function M.race(t)
  local list = branches_of("race", t)
  local winner
  if replaying() then
    local failed = replay_all(list)
    for _, branch in ipairs(list) do winner = winner or branch.ok and branch or nil end
    if not winner then error(failed.result, 0) end
  else winner = run_all("race", list, function(branch) return branch.ok end) end
  if winner then return winner.result, winner.name end
  local kind, words = list[1].result.kind, {}
  for _, branch in ipairs(list) do
    if branch.result.kind ~= kind then kind = "race" end
    words[#words + 1] = ("%s: %s"):format(branch.shown, branch.result.message)
  end
  list[1].result.kind, list[1].result.message = kind, ("race: none of %d succeeded: %s"):format(#list, table.concat(words, "; "))
  for _, branch in ipairs(list) do list[1].result.in_doubt = list[1].result.in_doubt or branch.result.in_doubt end
  error(list[1].result, 0)
end

-- The end of a sleep is a point in time that the journal keeps; after a restart the same sleep goes on to it.
function M.sleep(duration)
  local length = seconds("sleep", "argument 1 'duration'", duration)
  local here = engine.substep.scope()
  local item = here and here.item
  if replaying() then return end
  if not item or item.kind ~= "step" or length < DURABLE_FROM_S then return host.sleep(length) end
  local key = engine.substep.next_path(here)
  local till = item.sleeps and item.sleeps[key] or host.now() + length
  common.journal("sleep.started", item, { key = key, till = host.iso(till), length_s = length })
  if till > host.now() then host.sleep(till - host.now()) end
end

function M.deadline(duration, fn)
  local limit = seconds("deadline", "argument 1 'duration'", duration)
  check_function("deadline", "argument 2 'fn'", fn)
  local results
  local ok, problem = common.limited(limit, function() results = { n = 0, fn() } end)
  if not ok then error(problem, 0) end
  return unpack(results)
end

local known = { times = "number", within = "duration", until_ = "function" }

function M.every(interval, fn, options)
  local step = seconds("every", "argument 1 'interval'", interval)
  check_function("every", "argument 2 'fn'", fn)
  options = options or {}
  if type(options) ~= "table" then host.raise("argument", "every: argument 3 'options': a table expected, got " .. host.type_word(options)) end
  for _, key in ipairs(host.sorted_keys(options)) do
    if not known[key] then host.raise("argument", ("every: unknown option '%s'%s"):format(tostring(key), host.did_you_mean(tostring(key), known))) end
  end
  local times, within, reached = options.times, options.within and seconds("every", "option 'within'", options.within), options.until_
  if times and (type(times) ~= "number" or times < 1 or times % 1 ~= 0) then
    host.raise("argument", "every: option 'times': a whole number from 1 expected, got " .. tostring(times))
  end
  if reached ~= nil then check_function("every", "option 'until_'", reached) end
  if not times and not within and not reached then host.raise("argument", "every: has no end: give it times, within or until_") end
  if replaying() then host.raise("replay", "every: not repeated for the undo") end
  local began, count, value = host.monotonic(), 0, nil
  while true do
    count = count + 1
    value = fn(count)
    if reached and reached(value) == true then return value end
    local next_at = began + count * step
    local now = host.monotonic()
    if next_at < now then next_at = now end -- a call that took longer than the interval: the missed ones are left out
    if times and count >= times or within and next_at > began + within then break end
    host.sleep(next_at - now)
  end
  if not reached then return count end
  host.raise("timeout", ("every: not reached after %d time%s in %s"):format(count, count == 1 and "" or "s", host.duration_text(host.monotonic() - began)))
end

for word, fn in pairs(M) do program.composition[word] = fn end
return M

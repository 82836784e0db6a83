-- `goals`: targets compared with what was reached, at the end of a run. Never a verdict: an error or nil is "unknown".
local engine = ...
local host, program = engine.host, engine.program
local M = {}

-- What `run["name"]` gives: the fields of the result, and elapsed.
local function facts_of(item)
  local facts = {}
  if type(item.result) == "table" then
    for key, value in pairs(item.result) do facts[key] = value end
  else facts.result = item.result end
  facts.elapsed = item.elapsed
  return facts
end

local not_needed = {} -- the value of run.rollback_time where nothing went back

local function run_facts(outcome, data)
  local run = { outcome = outcome, elapsed = data.elapsed_s, window = data.window_s, rolled_back = outcome == "rolled_back",
    rollback_time = data.rollback_s or (outcome == "rolled_back" and nil or not_needed) }
  return setmetatable(run, { __index = function(_, name)
    local item = program.names[name]
    if not item then
      host.raise("lua", ("no step '%s'%s"):format(tostring(name), host.did_you_mean(tostring(name), program.names)), nil, 2)
    end
    return item.status == "finished" and facts_of(item) or (item.result ~= nil and facts_of(item)) or nil
  end })
end

local function number_of(value)
  if type(value) == "table" then return tonumber(value.value or value.points or value.relative or value[1]) end
  return type(value) == "string" and host.parse_duration(value) or tonumber(value)
end

local function shown(value, like)
  if value == not_needed then return "not needed" end
  if type(value) == "number" and type(like) == "string" and host.parse_duration(like) then return host.duration_text(value) end
  if type(value) == "number" then return value % 1 == 0 and ("%d"):format(value) or ("%.6g"):format(value) end
  if type(value) == "table" then return tostring(number_of(value)) end
  return tostring(value)
end

local function judge(goal, actual)
  if actual == nil or actual ~= actual then return "unknown" end
  if actual == not_needed then return "met" end
  if goal.is ~= nil then return actual == goal.is and "met" or "missed" end
  local is, target = number_of(actual), number_of(goal.below ~= nil and goal.below or goal.above)
  if not is or not target or is ~= is then return "unknown" end
  if goal.below ~= nil then return is < target and "met" or "missed" end
  return is > target and "met" or "missed"
end

-- One event goal.judged for each goal of the header.
function M.judge_all(outcome, data)
  for _, goal in ipairs(program.header().t.goals or {}) do
    local key = goal.below ~= nil and "below" or goal.above ~= nil and "above" or "is"
    host.enter_step("", "")
    host.allow("reads", ("is refused: goal \"%s\" only looks, it may not change anything"):format(goal[1]))
    local ok, actual = host.try(goal.of, run_facts(outcome, data))
    local problem = not ok and actual.message or nil
    if not ok then actual = nil end
    local state = judge(goal, actual)
    local target = key == "is" and ("is " .. shown(goal.is)) or ("%s %s"):format(key, shown(goal[key], goal[key]))
    local reached = actual ~= nil and shown(actual, goal[key]) or nil
    local plain = actual
    if actual == not_needed then plain = nil end
    local met
    if state ~= "unknown" then met = state == "met" end
    host.append("goal.judged", "", { met = met, name = goal[1], target = target, actual = reached, value = type(plain) ~= "table" and plain or nil, state = state, error = problem,
      why = ("%s: %s (%s): %s"):format(goal[1], reached or "unknown", target, state) })
  end
end

return M

-- What a monitor found, and what follows: its words, questions that are put while the work goes on, and the way to live.lua.
local engine = ...
local host, program, common, live = engine.host, engine.program, engine.common, engine.live
local journal, label = common.journal, program.label
local sample = engine.sample
local M = {}

-- A value as people read it; with the unit that the sample counts in, where that is known, and with as many digits as separate it
-- from its limit.
local function shown(value, unit, limit)
  if type(value) ~= "number" then return tostring(value) end
  if not unit then return ("%.6g"):format(value) end
  local text = host.quantity_text(value, unit)
  if not limit or value == limit or text ~= host.quantity_text(limit, unit) then return text end
  return ("%.9g %s"):format(value, (unit:gsub("_", " ")))
end

function M.words(item, breach)
  local rule = breach.rule
  local limit = rule.level.kind and sample.level(item, rule)
  local text = ("%s: %s is %s"):format(label("monitor", item.name), rule.name, shown(breach.value, rule.unit, limit or rule.level.number))
  if rule.kind ~= "is" then text = ("%s, %s %s%s"):format(text, rule.kind, rule.level.text, limit and (" (%s)"):format(shown(limit, rule.unit)) or "") end
  if rule.severity then text = ("%s (%s)"):format(text, rule.severity) end
  if rule.over then text = ("%s within %s"):format(text, host.duration_text(rule.over)) end
  if rule.sustained then text = ("%s for %s"):format(text, host.duration_text(breach.lasted)) end
  if rule.times then text = ("%s, %d times in a row"):format(text, rule.count) end
  return rule.verdict.why and rule.verdict.verdict ~= "tell" and ("%s: %s"):format(text, rule.verdict.why) or text
end

-- Rules that were never judged, because too few requests came: whether that is enough, a person says.
function M.inconclusive(item, few)
  local parts = {}
  for i, rule in ipairs(few) do parts[i] = ("%s had at most %g of the %g requests that it is judged on"):format(rule.name, rule.most, rule.requests) end
  return ("%s is inconclusive: %s"):format(label("monitor", item.name), table.concat(parts, "; "))
end

-- A question that is put while the work goes on; only "go on" leaves it as it is.
local function ask(item, why, verdict, key)
  item.asking = item.asking or {}
  if item.asking[key] then return end
  local task = host.spawn(function()
    local ok, answer = host.try(engine.people.decide, item, why, verdict.roles)
    item.asking[key] = nil
    item.open = nil
    if not ok then
      if answer.kind ~= "cancelled" then live.fatal(answer) end
    elseif answer == "rollback" or answer == "hold" then
      live.deliver { verdict = answer, why = why, item = item, outside = true, cut = true }
    end
  end)
  item.asking[key] = task
  live.works_for(task, item)
end

local function deliver(item, verdict, why, key)
  local word = verdict.verdict
  if word == "ask" then ask(item, why, verdict, key)
  elseif word == "tell" then live.tell(item, verdict.channels, why)
  elseif word == "pause" then live.pause(key, why)
  elseif word == "cancel_statement" then
    local step = live.at()
    local count = step and live.cancel_statements(step, why) or 0
    journal("statement.cancelled", item, { count = count, why = why, during = step and step.name })
  else
    live.deliver { verdict = word, why = why, way = verdict.way, step = verdict.step, times = verdict.times, item = item, outside = true, cut = true }
  end
end

-- Delivers what one look found, {verdict, why, key} each: everything that is only said, and of the rest the strictest first.
-- One that ends what the run does leaves nothing to do for the milder ones.
local ends = { rollback = true, hold = true, redo = true }
function M.deliver_all(item, found)
  table.sort(found, function(a, b)
    if a.verdict.severity ~= b.verdict.severity then return a.verdict.severity > b.verdict.severity end
    return a.key < b.key
  end)
  local ended = false
  for _, one in ipairs(found) do
    if not ended or one.verdict.verdict == "tell" then deliver(item, one.verdict, one.why, one.key) end
    ended = ended or ends[one.verdict.verdict] == true
  end
end

M.deliver = deliver
return M

-- The sum of the window: what its steps take by their estimates, with every answer as late as it may be, and a rollback on top,
-- against target and maximum. What fits as long as nobody escalates and no checkpoint asks is a warning with the worst case: silence
-- and a checkpoint that does not pass are two failures at once. Adds program.check_window; fills program.window, the figures that the
-- plan and the views show.
local host, program = ...

local function seconds(v) return v and host.parse_duration(v) or 0 end
local function text(s) return host.duration_text(s) end

-- How long an item may wait for people: each who is asked in turn has `within`. `header`: those that the header's ask adds, too.
local function answer_time(item, ask, header)
  local asks = item.kind == "gate" or item.kind == "checklist" and item.t.within ~= nil
  for _, entry in ipairs(item.kind == "checklist" and item.t or {}) do asks = asks or entry.__class == "confirm" end
  if not asks then return 0 end
  local within = item.t.within or ask.within
  if not within then return nil end
  local levels = item.t.escalate or header and ask.escalate or nil
  return seconds(within) * (1 + (levels and #program.list_of(levels) or 0))
end

-- How long the decision waits that an item may lead to (`ask` in its table): everyone whom the header's ask escalates to in turn.
local function decision_time(item, ask)
  local rows = type(item.t.fail) == "table" and item.t.fail or {}
  local asks = type(rows.otherwise) == "table" and rows.otherwise.verdict == "ask"
  for _, row in ipairs(rows) do asks = asks or row[1].verdict == "ask" end
  return asks and seconds(ask.within) * (1 + #program.list_of(ask.escalate or {})) or 0
end

-- The time from one item to another; work `beside` counts where the step that waits for it begins. `of(item)`: seconds of one.
local function length(items, of)
  local at, joined = 0, {}
  for _, item in ipairs(items) do
    at = math.max(at, joined[item.name] or 0)
    if item.t.beside then joined[item.t.beside] = math.max(joined[item.t.beside] or 0, at + of(item)) else at = at + of(item) end
  end
  return at
end

local function items_inside(window)
  local items, inside = {}, false
  for _, item in ipairs(program.track) do
    if item.name == window.from then inside = true end
    if inside and item.t.on ~= "rollback" and item.kind ~= "monitor" and item.kind ~= "phase" then items[#items + 1] = item end
    if inside and item.name == window.to then break end
  end
  return items
end

function program.check_window(add)
  local header = program.header()
  local t, names = header.t, program.names
  local window, ask, back = t.window, t.ask or {}, seconds((t.rollback or {}).within)
  local checked = 0
  for _, item in ipairs(program.track) do
    if item.t.on == "rollback" then checked = checked + seconds(item.t.takes) end
  end
  if back > 0 and checked > back then
    add(header, ("rollback: the checkpoints on the way back take %s together, the limit is %s"):format(text(checked), t.rollback.within))
  end
  if not window then return end
  local from, to = names[window.from or ""], names[window.to or ""]
  if from and to and from.index and to.index and from.index > to.index then
    add(header, ("window: it ends with \"%s\", which comes before \"%s\", its beginning"):format(window.to, window.from))
    return
  end
  local target, max = seconds(window.target), seconds(window.max)
  if window.target and window.max and target > max then add(header, ("window: the target %s is longer than the maximum %s"):format(window.target, window.max)) end
  local items = items_inside(window)
  local waits = {} -- what the worst case adds, for the message
  local worst_case = length(items, function(item)
    local asked, decision = answer_time(item, ask, true) or 0, decision_time(item, ask)
    local takes = math.max(seconds(item.t.takes), asked) + decision
    if asked + decision > (answer_time(item, ask, false) or 0) then waits[#waits + 1] = ("\"%s\" %s"):format(item.name, text(asked + decision)) end
    return takes
  end)
  local planned = length(items, function(item) return seconds(item.t.takes) end)
  local worst = length(items, function(item) return math.max(seconds(item.t.takes), answer_time(item, ask, false) or 0) end)
  program.window = { from = window.from, to = window.to, target_s = target, max_s = max, planned_s = planned, worst_s = worst, escalated_s = worst_case,
    latest_rollback_s = window.max and max - back or nil }
  if window.target and planned > target then
    add(header, ("window: the steps take %s together, the target is %s"):format(text(planned), window.target))
  end
  if window.max and back > max then
    add(header, ("window: a rollback takes %s, longer than the whole window may: %s"):format(t.rollback.within, window.max))
  elseif window.max and worst + back > max then
    add(header, ("window: with every answer late the steps take %s, and a rollback %s more: the maximum is %s"):format(text(worst), text(back), window.max))
  elseif window.max and worst_case + back > max then
    add(header, ("window: it fits only while people answer early: where each question goes on to all whom `ask` escalates to, and each item that may ask does (%s), the steps take %s, and a rollback %s more: %s, the maximum is %s"):format(
      table.concat(waits, ", "), text(worst_case), text(back), text(worst_case + back), window.max), true)
  end
  for _, item in ipairs(items) do
    if window.max and answer_time(item, ask, false) == nil then
      add(item, ("%s: stands in the window, and may wait for an answer without end: give it within"):format(program.label(item.kind, item.name)), true)
    end
  end
end

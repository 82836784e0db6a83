-- What reaches a run from outside its current item: requests of other terminals, monitors, Ctrl-C. An outcome goes into an
-- inbox; one that cannot wait cancels what the main task does (the statement in the server, the process tree), the others are
-- met at the next boundary: between two items, two sub-steps, two undos. One watcher task a run; loop thread.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label = common.journal, program.label
local M = {}

-- The strictest wins; `person` is what a step in doubt leads to. A Ctrl-C weighs as much as a hold.
local rank = { tell = 0, cancel_statement = 1, pause = 2, repair = 3, redo = 4, ask = 5, interrupted = 6, hold = 6, cancel = 6, rollback = 7, person = 8 }
local poll_s = 0.2
local inbox, pauses, state = {}, {}, { cut = false }

-- Everything that asks "was I interrupted" must hear of a cut too: its error is then not the step's own.
local signalled = host.interrupted
function host.interrupted() return state.cut or state.stopping or signalled() end
function M.stopping(yes) state.stopping = yes end

-- Two questions at once share one terminal: the second waits for its turn.
local read_line, reading = host.read_line, false
function host.read_line(prompt)
  while reading do host.poll(0.1) end
  reading = true
  local ok, line = host.try(read_line, prompt)
  reading = false
  if not ok then error(line, 0) end
  return line
end

-- Toggles that stand otherwise than the run found them, as one text: 'step "page on"'; nil where there is none.
function M.left_on()
  local order, found_as, now = {}, {}, {}
  for _, item in ipairs(program.track) do
    for _, action in ipairs(item.actions or {}) do
      if action.toggle then
        found_as[action.toggle] = found_as[action.toggle] or (action.to == "on" and "off" or "on")
        local began = item.status == "finished" or item.status == "started" or item.status == "failed"
        if began and not item.undone then
          if not now[action.toggle] then order[#order + 1] = action.toggle end
          now[action.toggle] = { to = action.to, item = item, sure = item.status == "finished" }
        end
      end
    end
  end
  local list = {}
  for _, toggle in ipairs(order) do
    local last = now[toggle]
    if last.to ~= found_as[toggle] or not last.sure then
      list[#list + 1] = ("%s (%s)"):format(label("step", last.item.name), last.sure and last.to or "perhaps " .. last.to)
    end
  end
  return #list > 0 and list or nil
end

-- `why` with what is left switched on behind it, for a question and for the record.
function M.with_left(why)
  local list = M.left_on()
  return list and ("%s. Left switched: %s"):format(why, table.concat(list, ", ")) or why, list
end

local function strictest()
  local best
  for _, outcome in ipairs(inbox) do
    if not best or rank[outcome.verdict] > rank[best.verdict] then best = outcome end
  end
  return best
end

-- Posts an outcome {verdict, why, …}. `cut`: the item in progress is cancelled for it, unless a rollback runs that may not be.
function M.deliver(outcome)
  if state.over or state.rolling and outcome.item and outcome.item.kind == "monitor" then return end -- muted on the way back
  inbox[#inbox + 1] = outcome
  if outcome.cut and not state.cut then
    state.cut = true
    host.cut(outcome.why)
  end
end

-- Puts an outcome back, for the next boundary.
function M.again(outcome) inbox[#inbox + 1] = outcome end

-- A failed journal write in a task beside the main one: nothing may go on.
function M.fatal(problem)
  state.fatal = state.fatal or problem
  state.cut = true
  host.cut(problem.message)
end

-- Keeps the run at its next boundary until `resume(key)`.
function M.pause(key, why, by)
  if pauses[key] then return end
  pauses[key] = { why = why, by = by }
  pauses[#pauses + 1] = key
end
function M.resume(key)
  pauses[key] = nil
  for i = #pauses, 1, -1 do
    if pauses[i] == key then table.remove(pauses, i) end
  end
end
-- Whether a rule of that monitor keeps the run.
function M.paused_by(name)
  for _, key in ipairs(pauses) do
    if key:sub(1, #name + 1) == name .. "/" then return true end
  end
  return false
end

-- The verdict tell: says it and goes on.
function M.tell(item, channels, why)
  local to = { "console" }
  for _, channel in ipairs(channels) do to[#to + 1] = channel end
  state.told = (state.told or 0) + 1
  engine.outbox.post({ key = ("%s/tell/%s/%d/%s"):format(host.run_id(), item.name, state.told, host.iso(host.now())), text = why, step = item.name, about = "tell",
    level = "warning" }, to)
  journal("verdict.told", item, { channels = channels, why = why })
end

-- Where an item may stop without leaving anything half done: waits while the run is paused. Any task of the run.
function M.pause_point(item, inside)
  if #pauses == 0 then return end
  local first = pauses[pauses[1]]
  local place = inside or ("before %s"):format(label(item.kind, item.name))
  if not state.waiting then
    state.waiting = place
    local why, left = M.with_left(("paused %s: %s"):format(place, first.why))
    journal("run.paused", item, { why = why, by = first.by, left_on = left, resume = "runbook resume " .. host.run_id() })
  end
  while #pauses > 0 do host.poll(0.1) end
  if state.waiting == place then
    state.waiting = nil
    journal("run.continued", item, { why = ("goes on %s"):format(place), by = state.resumed_by })
  end
end

-- Between two items of the main task: the outcome that waits, or nil after any pause.
function M.boundary(item)
  if #inbox > 0 then return M.take(item) end
  M.pause_point(item)
  if #inbox > 0 then return M.take(item) end
end

-- Empties the inbox: its strictest outcome, and whatever was cancelled may wait again.
function M.take(item)
  if state.fatal then error(state.fatal, 0) end
  local outcome = strictest()
  inbox, state.cut, state.waiting = {}, false, nil
  host.clear_cancel()
  if outcome then outcome.item = outcome.item or item end
  return outcome
end

-- What follows from an item that ended as host.try says, with what came from outside meanwhile.
function M.settle(item, ok, outcome)
  if state.fatal then error(state.fatal, 0) end
  if not host.interrupted() then
    if not ok then error(outcome, 0) end -- the engine's or the journal's own
    return outcome
  end
  local by_signal = signalled()
  local outside = M.take(item)
  if not outside and by_signal then outside = { verdict = "interrupted", why = "interrupted", item = item } end
  if not ok then
    if outcome.kind ~= "cancelled" and not outside then error(outcome, 0) end
    return outside
  end
  local own = outcome and outcome.verdict ~= "interrupted" and not (outcome.problem and outcome.problem.kind == "cancelled") and outcome
  if own and outside and (rank[own.verdict] or 0) > rank[outside.verdict] then return own end
  return outside or outcome
end

-- Cancels the statements that a step is in, in the server; the step's own retry decides what follows. How many.
function M.cancel_statements(item, why)
  local count = 0
  local main = state.current == item and host.cut(why, true)
  if main then count = 1 end
  for task, of in pairs(state.tasks) do
    if of == item and host.cancel_wait(task, why) then count = count + 1 end
  end
  if count > 0 then item.statement_cancelled = why end
  return count
end

-- Whether the error of an attempt is the statement that a monitor cancelled; it may then be retried by that name.
function M.statement_error(item, problem)
  local why = item.statement_cancelled
  item.statement_cancelled = nil
  if why and problem.kind == "cancelled" and not host.interrupted() then
    problem.kind, problem.message = "cancelled.statement", ("%s: %s"):format(why, problem.message)
  end
  return problem
end

-- Tasks that work for an item, so that its statements are found wherever they run.
state.tasks = setmetatable({}, { __mode = "k" })
local spawn = host.spawn
function host.spawn(fn, ...)
  local task = spawn(fn, ...)
  local scope = engine.substep.scope() -- a branch of what a step runs; messages and questions belong to nobody's statement
  state.tasks[task] = scope and scope.item
  return task
end
function M.works_for(task, item) state.tasks[task] = item end
function M.current(item) state.current = item end
function M.at() return state.current end
-- On the way back nothing may wait: a pause was for going forward.
function M.in_rollback()
  state.rolling = true
  while #pauses > 0 do M.resume(pauses[1]) end
end
function M.is_rolling() return state.rolling end

local function words(request)
  local why = request.data.why
  return why and why ~= "" and (": " .. why) or ""
end

-- Each returns nil where the request was taken, or why it was not.
local verbs = {}
function verbs.pause(request)
  if state.rolling then return "the run is on its way back" end
  if pauses["person"] then return "the run is paused already" end
  M.pause("person", ("by %s%s"):format(request.by, words(request)), request.by)
end
function verbs.resume(request)
  if #pauses == 0 then return "the run is not paused" end
  state.resumed_by = request.by
  while #pauses > 0 do M.resume(pauses[1]) end
end
function verbs.cancel(request)
  M.deliver { verdict = "cancel", cut = true, outside = true, by = request.by, why = ("cancelled by %s%s"):format(request.by, words(request)) }
end
function verbs.rollback(request)
  if state.rolling then return "the run is on its way back already" end
  local way = request.data.way
  if way and way ~= "" and not engine.rollback.knows_way(way) then return engine.rollback.unknown_way(way) end
  M.deliver { verdict = "rollback", cut = true, outside = true, ordered = true, way = way ~= "" and way or nil, by = request.by,
    why = ("ordered by %s%s"):format(request.by, words(request)) }
end

-- Why whoever asks may not order this, or nil; what is recorded of who it was.
local function authority(request)
  local right = host.right_to_order(program.asked.orders(), { by = request.by, order = request.verb, initiators = engine.people.initiators })
  return right.refusal, right.checked or false, right.roles
end

local function hear(request)
  local verb = verbs[request.verb]
  if not verb then return end -- an answer: whoever asked takes it
  local during = state.current
  local data = { verb = request.verb, request = request.id, by = request.by, reason = request.data.why, via = "another terminal",
    during = during and label(during.kind, during.name) or nil }
  local refused
  refused, data.checked, data.roles = authority(request)
  refused = refused or verb(request)
  data.why = ("%s by %s%s"):format(request.verb, request.by, words(request))
  if refused then
    data.why = ("%s: %s"):format(data.why, refused)
    data.refused = refused
  end
  journal(refused and "control.refused" or "control.taken", nil, data)
end

-- What Vault lent since the last look is journaled.
function M.leases()
  local taken = host.taken_leases()
  if taken then engine.leases.record(taken) end
end

local function watch()
  local seen = host.newest_request()
  while not state.over do
    host.poll(poll_s)
    local recorded, broken = host.try(M.leases)
    if not recorded and not state.over then return M.fatal(broken) end
    local ok, list = host.try(host.requests, seen, true) -- one that cannot be read now is read at the next look
    for _, request in ipairs(ok and list or {}) do
      seen = request.id
      local fine, problem = host.try(hear, request)
      if not fine and not state.over then return M.fatal(problem) end
    end
  end
end

function M.start() state.watcher = spawn(watch) end

-- The run is over for this process: nothing is delivered any more.
function M.stop()
  if state.over then return end
  state.over = true
  host.clear_cancel()
  if state.watcher then
    host.cancel(state.watcher, "the run is over")
    host.join(state.watcher)
  end
end

return M

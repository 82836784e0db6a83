-- Sub-steps: `ctx.step(name, { run =, undo =, … })` inside the run of a step, for what is only known at run time. Rule 3 of
-- docs/playbook.md: on resume `run` replays from its top, finished sub-steps return what the journal kept, and everything else
-- in such a step only looks. Way back: engine.substep_undo.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local journal, label, running = common.journal, program.label, coroutine.running
local M = {}

-- What the running coroutine works for: {item, sub, path, count}. Branches of `parallel` have scopes of their own.
local scopes = setmetatable({}, { __mode = "k" })

function M.scope() return scopes[running()] end
function M.set_scope(scope) scopes[running()] = scope end

-- The next place in this scope, as text that sorts in declared order.
function M.next_path(scope)
  scope.count = scope.count + 1
  return scope.path .. ("%05d."):format(scope.count)
end

function M.label_of(sub) return ('sub-step "%s" of %s'):format(sub.name, label("step", sub.item.name)) end

local function new_sub(item, name)
  local sub = { item = item, name = name, status = "waiting", attempt = 0, epoch = 0 }
  item.subs = item.subs or { list = {}, by = {} }
  item.subs.list[#item.subs.list + 1] = sub
  item.subs.by[name] = sub
  return sub
end

-- What the functions of a step use: "ctx.step", "ctx.transaction" or nil. Such a step is replayed, never in doubt as a whole.
local function uses(fns, words)
  for _, word in ipairs(words) do
    for _, fn in ipairs(fns) do
      if type(fn) == "function" and host.reads_field(fn, word) then return "ctx." .. word end
    end
  end
end

function M.parts_of(item)
  if item.subs and #item.subs.list > 0 then item.parts = "ctx.step" end -- the journal knows more than the source shows
  if item.parts == nil then
    local fns = { item.t.run }
    for _, action in ipairs(item.actions or {}) do fns[#fns + 1] = action.run end
    item.parts = uses(fns, { "step", "transaction" }) or false
  end
  return item.parts
end

-- Whether `run` may be replayed from its top without asking anybody: everything that it does is a sub-step or a transaction.
function M.replays(item) return item.kind == "step" and not item.outside and (M.parts_of(item) or item.subs) and true or false end

-- The newest effect of the step's own code, outside of sub-steps and transactions: "fs.write (x.lua:3)", or nil.
local function own_effect(item) return host.effects[label("step", item.name)] end
function M.keep_effects(item, effect) host.effects[label("step", item.name)] = effect end

-- The source did not show that the step would use sub-steps, and it has changed something beside them: a replay would do it again.
-- Ends `run`; the step is in doubt as a whole, in a later process too.
local function refuse_outside(item, effect)
  item.outside = effect
  local why = ("%s is in doubt: %s happened outside of its sub-steps, and a replay of run would repeat it: each effect of a step that uses ctx.step belongs into one"):format(
    label("step", item.name), effect)
  journal("step.in_doubt", item, { state = "unknown", why = why, outside = effect })
  return { verdict = "person", item = item, why = why }
end

-- At the end of an attempt: the same for a branch of `parallel` that had begun before its sibling used ctx.step.
function M.outside_effect(item)
  if item.stop or item.parts ~= "ctx.step" or item.replaying then return nil end
  local effect = own_effect(item)
  return effect and refuse_outside(item, effect)
end

local function allow_outside(item, scope)
  host.enter_step(item.name, label(item.kind, item.name))
  host.allow("reads", ("is refused: %s uses %s, so each of its effects belongs into one"):format(label(item.kind, item.name), item.parts),
    item.parts == "ctx.step" and 'ctx.step("name", { run = function() … end, undo = … })' or "ctx.transaction(connection, function() … end)")
end

-- What the current coroutine may do now: in a sub-step, or beside the sub-steps.
function M.allow(item, scope)
  local sub = scope and scope.sub
  if not sub then
    if M.parts_of(item) then return allow_outside(item) end
    return common.allow_run(item)
  end
  host.enter_step(item.name, M.label_of(sub))
  if sub.parts then
    host.allow("reads", ("is refused: %s uses ctx.transaction, so each of its effects belongs into one"):format(M.label_of(sub)),
      "ctx.transaction(connection, function() … end)")
  elseif M.may_write(sub) then host.allow "writes"
  else
    host.allow("reads", ("is refused: %s has no way back"):format(M.label_of(sub)), 'give the sub-step undo or keep "why", or its step undo, keep "why" or loses')
  end
end

function M.may_write(sub) return sub.spec.undo ~= nil or common.has_own_way_back(sub.item) end

-- The context of a sub-step's functions.
function M.context(sub, more)
  local ctx = { id = ("%s/%s/%s"):format(host.run_id(), sub.item.name, sub.name), name = sub.name, attempt = sub.attempt, saved = sub.item.saved,
    partial = sub.partial }
  for key, value in pairs(more or {}) do ctx[key] = value end
  return M.with_calls(ctx, sub.item, not more and M.scope() or nil)
end

-- The context of an undo: of a step, or of one of its sub-steps.
function M.undo_context(ctx, item, sub)
  setmetatable(ctx, nil)
  ctx.transaction = engine.transaction.of_undo(item, sub)
  ctx.progress = engine.watch.progress_of(item)
  return ctx
end

local function fields(sub, more)
  local data = { name = sub.name }
  for key, value in pairs(more or {}) do data[key] = value end
  return data
end

local function finish(sub, result, started)
  sub.status, sub.result, sub.partial = "finished", result, nil
  journal("substep.finished", sub.item, fields(sub, { result = result, elapsed_s = host.monotonic() - started }))
end

-- Whether this task can still wait, that is, was neither cancelled nor is over its time.
local function alive() return (host.try(host.sleep, 0)) end

-- Ends `run` with an outcome that the step's code cannot swallow.
local function stop(item, outcome)
  item.stop = outcome
  host.raise("in_doubt", outcome.why)
end

-- Rule 4 for one sub-step. Returns "finished" or "rerun"; ends `run` where a person is needed.
local function settle(sub, why)
  local spec, item = sub.spec, sub.item
  local state, result = "unknown", nil
  if spec.observe then
    host.allow("reads", ("is refused: observe of %s only looks"):format(M.label_of(sub)))
    local ok, answer, more = host.try(spec.observe, M.context(sub, {}))
    if ok and (answer == "done" or answer == "absent" or answer == "partial") then state, result = answer, more
    elseif not ok then why = why .. "; observe failed: " .. answer.message end
  elseif spec.idempotent or item.t.idempotent or sub.parts or not M.may_write(sub) then
    state = "absent" -- nothing that a second run could do twice
  end
  journal("substep.in_doubt", item, fields(sub, { state = state, why = why }))
  if state == "done" then
    local stored = host.store(result)
    if spec.verify then
      host.allow("reads", ("is refused: verify of %s only looks"):format(M.label_of(sub)))
      engine.step.check_verified(spec.verify(M.context(sub, { result = stored })))
    end
    finish(sub, stored, host.monotonic())
    return "finished"
  elseif state == "absent" then return "rerun"
  elseif state == "partial" then
    if spec.resumable then
      sub.partial = true
      return "rerun"
    end
    local outcome = engine.substep_undo.one(sub, "in doubt")
    if outcome then stop(item, outcome) end
    return "rerun"
  end
  stop(item, { verdict = "person", item = item, why = M.label_of(sub) .. " is in doubt: it started and nobody knows whether it is done" })
end

function M.body(sub, ctx) return sub.spec.run(ctx) end

local function attempt(sub, scope)
  local spec = sub.spec
  scope.count = 0
  M.allow(sub.item, scope)
  local ok, result = common.limited(common.seconds(spec.timeout), M.body, sub, M.context(sub))
  if not ok then return false, result end
  local stored
  ok, stored = host.try(host.store, result)
  if not ok or not spec.verify then return ok, stored end
  host.allow("reads", ("is refused: verify of %s only looks"):format(M.label_of(sub)))
  local problem
  ok, problem = host.try(function() engine.step.check_verified(spec.verify(M.context(sub, { result = stored }))) end)
  if not ok then return false, problem end
  return true, stored
end

local function failed(sub, problem, started)
  sub.status = "failed"
  journal("substep.failed", sub.item, fields(sub, { error = host.error_map(problem), attempts = sub.attempt, elapsed_s = host.monotonic() - started }))
  error(problem, 0)
end

local function drive(sub, scope)
  local spec = sub.spec
  if sub.ended then host.raise(sub.ended.kind, sub.ended.message, sub.ended.hint) end -- it failed before the crash: replayed, not repeated
  if sub.status == "started" and settle(sub, "the run ended while it was running") == "finished" then return end
  if sub.status == "failed" or sub.status == "undone" then sub.attempt = 0 end
  local started = host.monotonic()
  while true do
    sub.attempt, sub.status = sub.attempt + 1, "started"
    journal("substep.started", sub.item, fields(sub, { attempt = sub.attempt, way_back = type(spec.undo) == "function" or nil }))
    local ok, result = attempt(sub, scope)
    if ok then return finish(sub, result, started) end
    local can_wait = alive()
    if result.in_doubt then
      if not can_wait then error(result, 0) end -- it stays started: settled by the next attempt, or on resume
      if settle(sub, result.message) == "finished" then return end
    end
    local delay = can_wait and not sub.item.stop and common.delay_after(spec.retry, sub.attempt, result, started)
    if not delay then failed(sub, result, started) end
    journal("substep.retried", sub.item, fields(sub, { attempt = sub.attempt, of = spec.retry.attempts, error = host.error_map(result), retry_in_s = delay }))
    sub.status = "failed"
    host.sleep(delay)
  end
end

local function check(name, spec)
  if type(name) ~= "string" or name == "" then host.raise("argument", "ctx.step: argument 1 'name': a name in quotes expected, got " .. (name == "" and "an empty one" or host.type_word(name))) end
  if type(spec) == "function" then spec = { run = spec } end
  local who = ('sub-step "%s"'):format(name)
  if type(spec) ~= "table" then host.raise("argument", ("%s: a table { run = … } or a function expected, got %s"):format(who, host.type_word(spec))) end
  program.check_step_options(who, spec, program.options.substep)
  if not spec.run then host.raise("argument", who .. ": option 'run' is required") end
  return spec
end

local function perform(item, root, name, given)
  local scope = M.scope() or root
  local spec = check(name, given)
  if item.closed then host.raise("usage", ('ctx.step: works inside the run of a step only, and that of %s has ended'):format(label("step", item.name))) end
  if scope.sub then host.raise("usage", ('ctx.step: sub-step "%s" inside sub-step "%s": sub-steps do not nest'):format(name, scope.sub.name)) end
  local _, line = host.where()
  if item.asked[name] then
    host.raise("usage", ('ctx.step: %s has a sub-step "%s" already, at line %d'):format(label("step", item.name), name, item.asked[name]),
      "give each its own name, with what it works on in it")
  end
  item.asked[name] = line
  local sub = item.subs and item.subs.by[name] or new_sub(item, name)
  sub.spec, sub.path, sub.parts = spec, M.next_path(scope), uses({ spec.run }, { "transaction" })
  if sub.status == "finished" then return sub.result end
  if item.replaying then host.raise("replay", ("%s was not done"):format(M.label_of(sub))) end
  if scope.transaction then host.raise("usage", ('ctx.step: sub-step "%s" inside ctx.transaction: put the transaction into the sub-step'):format(name)) end
  engine.live.pause_point(item, "before " .. M.label_of(sub))
  local before = M.scope()
  local inner = { item = item, sub = sub, path = sub.path, count = 0 }
  M.set_scope(inner)
  local ok, problem = host.try(drive, sub, inner)
  M.set_scope(before)
  allow_outside(item)
  if not ok then error(problem, 0) end
  return sub.result
end

-- Gives a context `step`, `transaction` and `progress`; what is used decides what the step may do outside of it.
function M.with_calls(ctx, item, root)
  return setmetatable(ctx, { __index = function(_, key)
    if key == "step" then
      if not root then host.raise("usage", "ctx.step: works inside the run of a step only") end
      local scope = M.scope()
      local effect = not item.replaying and not (scope or root).transaction and own_effect(item)
      if effect then stop(item, item.stop or refuse_outside(item, effect)) end
      item.parts = "ctx.step"
      if not (scope and scope.sub) then allow_outside(item) end
      return function(name, spec) return perform(item, root, name, spec) end
    elseif key == "transaction" then
      if not root then host.raise("usage", "ctx.transaction: works inside run and undo only") end
      local scope = M.scope() or root
      if scope.sub then scope.sub.parts = "ctx.transaction" else item.parts = item.parts or "ctx.transaction" end
      if not scope.transaction then M.allow(item, scope) end
      return engine.transaction.of(item, root)
    elseif key == "progress" then return engine.watch.progress_of(item)
    end
  end })
end

-- A new attempt of the step runs its failed sub-steps again; one that replays an interrupted attempt does not.
function M.fresh(item)
  local replay = item.replays_next
  item.replays_next = nil
  if replay then return end
  for _, sub in ipairs(item.subs and item.subs.list or {}) do sub.ended = nil end
end

-- Begins an attempt of the step in this task. Returns the context of its run.
function M.begin(item)
  M.fresh(item)
  local root = { item = item, path = "", count = 0 }
  item.asked, item.closed, item.stop, item.outside = {}, nil, nil, nil
  M.keep_effects(item, nil)
  M.set_scope(root)
  return M.with_calls(common.context(item, { partial = item.partial }), item, root)
end

-- A person has ordered the step again, and so what was in doubt in it.
function M.ordered_again(item)
  for _, sub in ipairs(item.subs and item.subs.list or {}) do
    if sub.status == "started" then sub.status = "failed" end
  end
end

-- From the journal.
function M.restore(item, kind, data)
  local name = data.name
  local sub = item.subs and item.subs.by[name] or new_sub(item, name)
  sub.ended = kind == "substep.failed" and data.error or nil
  if kind == "substep.started" then sub.status, sub.attempt, sub.way_back = "started", data.attempt, data.way_back
  elseif kind == "substep.finished" then sub.status, sub.result = "finished", data.result
  elseif kind == "substep.failed" then sub.status = "failed"
  elseif kind == "substep.retried" then sub.status = "retried" -- its attempts go on counting
  elseif kind == "substep.undone" then sub.status, sub.epoch = "undone", sub.epoch + 1
  end
end

return M

-- The run: takes the track item by item, records each in the journal before and after its effect, and decides what follows.
-- Owns the forward direction; rollback.lua owns the way back. Runs as the main task of the run.
local host, program, people, judge, rollback = ...
local label = program.label
local M = {}

local function journal(event, item, data) return host.append(event, item and item.name or "", data or {}) end

-- Whether the step may change something: rule 2.
local function has_way_back(item)
  local t = item.t
  if t.undo or t.loses or item.kind == "repair" then return true end
  for _, action in ipairs(item.actions or {}) do
    if action.undo then return true end
  end
  return false
end

local function allow_reads(item)
  host.enter_step(item.name, label(item.kind, item.name))
  host.allow("reads", ("is refused: %s only looks, it may not change anything"):format(label(item.kind, item.name)))
end

local function allow_run(item)
  host.enter_step(item.name, label(item.kind, item.name))
  if has_way_back(item) then host.allow "writes" else
    host.allow("reads", ("is refused: %s has no way back"):format(label(item.kind, item.name)), 'give the step undo, keep "why" or loses')
  end
end

local function context(item, more)
  local ctx = { id = host.run_id() .. "/" .. item.name, step = item.name, saved = item.saved, attempt = item.attempt, started = item.started }
  for key, value in pairs(more or {}) do ctx[key] = value end
  return ctx
end
M.context, M.allow_run, M.allow_reads, M.has_way_back = context, allow_run, allow_reads, has_way_back

-- Runs fn under a time limit. Returns ok, result or error table.
local function limited(seconds, fn, ...)
  if not seconds then return host.try(fn, ...) end
  local id = host.push_deadline(seconds)
  local ok, result, extra = host.try(fn, ...)
  if host.pop_deadline(id) and not ok then
    result.kind, result.message = "timeout", ("time limit of %s reached: %s"):format(host.duration_text(seconds), result.message)
  end
  return ok, result, extra
end
M.limited = limited

local function seconds(value) return value and host.parse_duration(value) end
M.seconds = seconds

local never_retried = { argument = true, permission = true, lua = true, usage = true, cancelled = true, runaway = true, load = true }

local function retries(retry, kind)
  if not retry.on then return not never_retried[kind] end
  local list = type(retry.on) == "table" and retry.on or { retry.on }
  for _, listed in ipairs(list) do
    if listed == kind then return true end
  end
  return false
end

-- Seconds before attempt n + 1, full jitter; nil where there is none.
local function delay_after(retry, attempt, kind, first)
  if not retry or attempt >= (retry.attempts or 1) or not retries(retry, kind) then return nil end
  local limit = seconds(retry.within)
  local delay = math.min((seconds(retry.initial) or 1) * (retry.backoff or 2) ^ (attempt - 1), seconds(retry.max_delay) or 60)
  delay = delay * math.random()
  if limit and host.monotonic() - first + delay > limit then return nil end
  return delay
end
M.delay_after = delay_after

local function template(text, item)
  return (text:gsub("{([%w_.]+)}", function(path)
    local value = { result = item.result, elapsed = item.elapsed }
    for key in path:gmatch "[^.]+" do
      value = type(value) == "table" and value[key] or nil
      if value == nil then return "{" .. path .. "}" end
    end
    if type(value) == "number" and path:find "bytes$" then return host.bytes_text(value) end
    if type(value) == "number" and value % 1 == 0 then return host.grouped(value) end
    return tostring(value)
  end))
end

local function announce(item)
  if item.t.says then journal("notify.sent", item, { channel = "console", text = template(item.t.says, item) }) end
end

-- A line of detail for the view: {detail} of the result, or what it says.
local function detail(item)
  local result = item.result
  if type(result) == "table" and type(result.detail) == "string" then return result.detail end
end

local function body(item, ctx)
  local t = item.t
  if t.manual then
    local answer = people.ask(item.name, { prompt = t.manual .. " - done? [y/n] ", choices = { { "y", "approve" }, { "n", "reject" }, yes_no = true } })
    if answer ~= "approve" then host.raise("declined", ("%s was not done (%s)"):format(t.manual, answer)) end
    return nil
  end
  for _, action in ipairs(item.actions) do action.run(ctx) end
  if t.run then return t.run(ctx) end
end

-- Rule: nothing returned passes (expect() inside raises), anything returned must be true.
local function check_verified(...)
  if select("#", ...) > 0 and (...) ~= true then host.raise("verify", "verify did not return true, but " .. host.type_word((...))) end
end

local function attempt(item, ctx)
  allow_run(item)
  local ok, result = limited(seconds(item.t.timeout), body, item, ctx)
  if not ok then return false, result end
  local stored
  ok, stored = host.try(host.store, result)
  if not ok then return false, stored end
  if item.t.verify then
    allow_reads(item)
    ctx.result = stored
    local problem
    ok, problem = host.try(function() check_verified(item.t.verify(ctx)) end)
    if not ok then return false, problem end
  end
  return true, stored
end

local function finish(item, result, started)
  item.result, item.status, item.elapsed = result, "finished", host.monotonic() - started
  journal("step.finished", item, { kind = item.kind, elapsed_s = item.elapsed, result = result, detail = detail(item) })
  announce(item)
end

local function with_hint(item, problem)
  local hint = item.t.hints and item.t.hints[problem.kind]
  if hint then problem.hint = hint end
  return problem
end

-- Asks a person what to do; returns rollback, hold or go_on.
local function decide(item, why, roles)
  local header = program.header().t
  local ask = header.ask or {}
  local within = seconds(ask.within)
  local role = roles and table.concat(roles, ", ") or "anyone"
  local asked = journal("decision.asked", item, { why = why, role = role, title = header.roles and header.roles[roles and roles[1] or ""],
    options = { "rollback", "hold", "go_on" }, deadline = within and host.iso(host.now() + within) })
  local answer, by, via = people.ask(item.name, { deadline = within and host.now() + within, seen = asked.last_request,
    prompt = "roll back (r), hold here (h), or go on (g)? ", choices = { { "r", "rollback" }, { "h", "hold" }, { "g", "go_on" } } })
  if answer == "expired" then answer, via = ask.otherwise or "rollback", "nobody answered in time" end
  if answer == "detached" then answer, via = "hold", "--detach" end
  journal("decision.answered", item, { answer = answer, by = by, via = via })
  return answer
end
M.decide = decide

-- Rule 4. Returns "finished", "rerun", or an outcome.
local function settle_doubt(item, why)
  local state, result = "unknown", nil
  local t = item.t
  local observe = t.observe or (#item.actions == 1 and item.actions[1].observe) or nil
  if observe then
    allow_reads(item)
    local ok, answer, more = host.try(observe, context(item))
    if ok and (answer == "done" or answer == "absent" or answer == "partial") then state, result = answer, more
    elseif not ok then why = why .. "; observe failed: " .. answer.message end
  elseif t.idempotent or not has_way_back(item) then
    state = "absent" -- nothing that a second run could do twice
  end
  journal("step.in_doubt", item, { state = state, why = why })
  if state == "done" then
    local ok, stored = host.try(host.store, result)
    if t.verify and ok then
      local problem
      ok, problem = host.try(function() check_verified(t.verify(context(item, { result = stored }))) end)
      if not ok then return { verdict = "rollback", why = label(item.kind, item.name) .. ": " .. problem.message, item = item } end
    end
    finish(item, stored, host.monotonic())
    return "finished"
  elseif state == "absent" then
    return "rerun"
  elseif state == "partial" then
    local outcome = rollback.undo_one(item, "in doubt")
    return outcome or "rerun"
  end
  return { verdict = "person", why = label(item.kind, item.name) .. " is in doubt: it started and nobody knows whether it is done", item = item }
end

-- What a failed step leads to.
local function failed(item, problem, started)
  with_hint(item, problem)
  item.status = "failed"
  journal("step.failed", item, { kind = item.kind, error = host.error_map(problem), attempts = item.attempt, elapsed_s = host.monotonic() - started })
  if item.t.failure == "continue" then return nil end
  return { verdict = "rollback", why = label(item.kind, item.name) .. " failed: " .. problem.message, item = item, problem = problem }
end

function M.step(item)
  local t = item.t
  local started = host.monotonic()
  if t.only_if ~= nil and not item.attempt then
    allow_reads(item)
    local wanted = t.only_if
    if type(wanted) == "function" then
      local ok, value = host.try(wanted)
      if not ok then return failed(item, value, started) end
      wanted = value
    end
    if wanted ~= true then
      item.status = "skipped"
      journal("step.skipped", item, { reason = "only_if is not true" })
      return
    end
  end
  if item.status == "started" then -- from the journal: it began and never ended
    local outcome = settle_doubt(item, "the run ended while it was running")
    if outcome == "finished" then return end
    if outcome ~= "rerun" then return outcome end
  end
  if t.capture and item.saved == nil then
    allow_reads(item)
    local ok, saved = host.try(function() return host.store(t.capture(context(item))) end)
    if not ok then return failed(item, saved, started) end
    item.saved = saved
    journal("step.captured", item, { saved = saved })
  end
  item.attempt = item.attempt or 0
  while true do
    item.attempt, item.status, item.started = item.attempt + 1, "started", host.now()
    journal("step.started", item, { kind = item.kind, attempt = item.attempt, owner = t.owner })
    local ok, result = attempt(item, context(item))
    if ok then return finish(item, result, started) end
    if host.interrupted() then return { verdict = "interrupted", why = "interrupted", item = item, problem = result } end
    with_hint(item, result)
    local delay = delay_after(t.retry, item.attempt, result.kind, started)
    if result.in_doubt then
      local outcome = settle_doubt(item, result.message)
      if outcome == "finished" then return end
      if outcome ~= "rerun" then return outcome end
    end
    if not delay then return failed(item, result, started) end
    journal("attempt.failed", item, { attempt = item.attempt, of = t.retry.attempts, error = host.error_map(result), retry_in_s = delay })
    host.sleep(delay)
  end
end

local function judged(item, passed, result, problem, verdict, started)
  local why = verdict and (verdict.why or verdict.verdict)
  journal("checkpoint.judged", item, { passed = passed, elapsed_s = host.monotonic() - started, result = result, detail = detail(item),
    verdict = verdict and verdict.verdict, why = why, error = problem and host.error_map(problem),
    where = not passed and host.place(item.t.pass) or nil })
end

function M.checkpoint(item)
  local t, started = item.t, host.monotonic()
  local repaired = false
  item.attempt = 0
  while true do
    item.attempt = item.attempt + 1
    allow_reads(item)
    journal("step.started", item, { kind = "checkpoint", attempt = item.attempt, owner = t.owner })
    local ok, passed, result, problem = limited(seconds(t.timeout), judge.look, t.run, t.pass, context(item))
    if not ok then passed, result, problem = false, nil, passed end
    item.result, item.elapsed = result, host.monotonic() - started
    if passed then
      item.status = "finished"
      judged(item, true, result, nil, nil, started)
      return announce(item)
    end
    if host.interrupted() then return { verdict = "interrupted", why = "interrupted", item = item } end
    if problem then with_hint(item, problem) end
    local delay = delay_after(t.retry, item.attempt, problem and problem.kind or "checkpoint", started)
    if delay then
      journal("attempt.failed", item, { attempt = item.attempt, of = t.retry.attempts, retry_in_s = delay,
        error = problem and host.error_map(problem) or { kind = "checkpoint", message = "did not pass" } })
      host.sleep(delay)
    else
      local verdict = judge.decide(t.fail, result, problem)
      if verdict.verdict == "repair" and repaired then
        verdict = judge.severest { otherwise = program.words.rollback(verdict.why .. " did not help") }
      end
      if verdict.verdict ~= "repair" then
        item.status = "failed"
        judged(item, false, result, problem, verdict, started)
        return { verdict = verdict.verdict, why = ("%s did not pass%s"):format(label("checkpoint", item.name), verdict.why and ": " .. verdict.why or ""),
          way = verdict.way, roles = verdict.roles, item = item, problem = problem }
      end
      repaired = true
      judged(item, false, result, problem, verdict, started)
      journal("repair.started", item, { why = verdict.why })
      host.allow "writes"
      local fine, err = host.try(verdict.fn, result)
      if not fine then return { verdict = "rollback", why = ("%s: repair failed: %s"):format(label("checkpoint", item.name), err.message), item = item, problem = err } end
      journal("repair.finished", item)
    end
  end
end

function M.gate(item)
  local t, header = item.t, program.header().t
  allow_reads(item)
  local question = t.ask
  if type(question) == "function" then
    local ok, text = host.try(question)
    if not ok then return { verdict = "rollback", why = label("gate", item.name) .. ": its question failed: " .. text.message, item = item, problem = text } end
    question = text
  end
  local within = seconds(t.within or (header.ask or {}).within)
  local otherwise = t.otherwise or (header.ask or {}).otherwise or "hold"
  local seen
  if not item.deadline then -- absolute, and the same after a resume
    item.deadline = within and host.now() + within
    local opened = journal("gate.opened", item, { ask = question, role = t.role, title = header.roles and header.roles[t.role or ""],
      deadline = item.deadline and host.iso(item.deadline), otherwise = otherwise, kind = "gate" })
    seen = opened.last_request
  end
  local answer, by, via = people.ask(item.name, { deadline = item.deadline, seen = seen, prompt = "approve? [y/n] ",
    choices = { { "y", "approve" }, { "n", "reject" }, yes_no = true } })
  if answer == "detached" then return { verdict = "hold", why = ("waiting at %s"):format(label("gate", item.name)), item = item } end
  if answer == "expired" then
    journal("gate.expired", item, { otherwise = otherwise })
    return { verdict = otherwise, why = ("%s: nobody answered in time"):format(label("gate", item.name)), item = item }
  end
  item.status = "finished"
  item.result = { answer = answer, by = by, via = via }
  journal("gate.answered", item, item.result)
  if answer == "reject" then return { verdict = "rollback", why = ("%s was declined by %s"):format(label("gate", item.name), by), item = item } end
end

function M.checklist(item)
  local started = host.monotonic()
  journal("step.started", item, { kind = "checklist", attempt = 1, owner = item.t.owner })
  local results, bad = {}, {}
  for i, entry in ipairs(item.t) do
    allow_reads(item)
    local passed, note
    if entry.__class == "probe" then
      local ok, value = host.try(entry.fn)
      passed = ok and value == true
      note = not ok and value.message or nil
    else
      local name = item.name .. ": " .. entry.text
      journal("gate.opened", item, { ask = entry.text, role = entry.role, kind = "confirm" })
      local answer, by, via = people.ask(name, { prompt = entry.text .. " - confirm? [y/n] ", choices = { { "y", "approve" }, { "n", "reject" }, yes_no = true } })
      if answer == "detached" then return { verdict = "hold", why = ("waiting for %s"):format(name), item = item } end
      passed = answer == "approve"
      journal("gate.answered", item, { answer = answer, by = by, via = via, item = entry.text })
    end
    results[i] = { text = entry.text, passed = passed, note = note }
    if not passed then bad[#bad + 1] = entry.text .. (note and " (" .. note .. ")" or "") end
  end
  item.result, item.elapsed = host.store { items = results, failed = #bad }, host.monotonic() - started
  item.status = #bad == 0 and "finished" or "failed"
  local why = #bad > 0 and ("%s: %s"):format(label("checklist", item.name), table.concat(bad, "; ")) or nil
  journal("checkpoint.judged", item, { passed = #bad == 0, kind = "checklist", elapsed_s = item.elapsed, result = item.result,
    verdict = why and "rollback" or nil, why = why, detail = ("%d of %d"):format(#results - #bad, #results) })
  if why then return { verdict = "rollback", why = why, item = item } end
end

return M

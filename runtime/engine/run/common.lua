-- What every kind of item needs while it runs: the journal, what its code may touch, its context, time limits, delays between
-- attempts, what it says. Knows nothing of the order of items.
local engine = ...
local host, program = engine.host, engine.program
local label = program.label
local M = {}

function M.journal(event, item, data)
  data = data or {}
  engine.time.saw(event, item, data)
  return host.append(event, item and item.name or "", data)
end

-- Whether the step may change something: rule 2.
function M.has_way_back(item)
  return M.has_own_way_back(item) or engine.substep_undo.needed(item)
end

function M.has_own_way_back(item)
  local t = item.t
  if t.undo or t.loses then return true end
  for _, action in ipairs(item.actions or {}) do
    if action.undo then return true end
  end
  return false
end

function M.allow_reads(item)
  host.enter_step(item.name, label(item.kind, item.name))
  host.allow("reads", ("is refused: %s only looks, it may not change anything"):format(label(item.kind, item.name)))
end

function M.allow_run(item)
  host.enter_step(item.name, label(item.kind, item.name))
  if M.has_way_back(item) then host.allow "writes" else
    host.allow("reads", ("is refused: %s has no way back"):format(label(item.kind, item.name)), 'give the step undo, keep "why" or loses')
  end
end

function M.context(item, more)
  local ctx = { id = host.run_id() .. "/" .. item.name, name = item.name, saved = item.saved, attempt = item.attempt, started = item.started }
  for key, value in pairs(more or {}) do ctx[key] = value end
  return ctx
end

-- Runs fn under a time limit. Returns ok, result or error table.
function M.limited(seconds, fn, ...)
  if not seconds then return host.try(fn, ...) end
  local id = host.push_deadline(seconds)
  local ok, result, extra = host.try(fn, ...)
  if host.pop_deadline(id) and not ok then
    result.kind, result.message = "timeout", ("time limit of %s reached: %s"):format(host.duration_text(seconds), result.message)
  end
  return ok, result, extra
end

function M.seconds(value) return value and host.parse_duration(value) end

local never_retried = { argument = true, permission = true, lua = true, usage = true, cancelled = true, runaway = true, load = true }

local function retries(retry, kind)
  if not retry.on then return not never_retried[kind] end
  local list = type(retry.on) == "table" and retry.on or { retry.on }
  for _, listed in ipairs(list) do
    if listed == kind then return true end
  end
  return false
end

-- Seconds before attempt n + 1, full jitter; nil where there is none. `problem` is the error, or its kind; a server that says
-- when to come again (retry_after) is not asked before.
function M.delay_after(retry, attempt, problem, first)
  local kind = type(problem) == "table" and problem.kind or problem
  if not retry or attempt >= (retry.attempts or 1) or not retries(retry, kind) then return nil end
  local limit = M.seconds(retry.within)
  local delay = math.min((M.seconds(retry.initial) or 1) * (retry.backoff or 2) ^ (attempt - 1), M.seconds(retry.max_delay) or 60)
  delay = math.max(delay * math.random(), type(problem) == "table" and tonumber(problem.retry_after) or 0)
  if limit and host.monotonic() - first + delay > limit then return nil end
  return delay
end

-- Says what the item says when it is done; an outcome where a required channel did not take it.
function M.announce(item) return engine.says.done(item) end

-- A line of detail for the view: {detail} of the result, or what it says.
function M.detail(item)
  local result = item.result
  if type(result) == "table" and type(result.detail) == "string" then return result.detail end
end

function M.with_hint(item, problem)
  local hint = item.t.hints and item.t.hints[problem.kind]
  if hint then problem.hint = hint end
  return problem
end

return M

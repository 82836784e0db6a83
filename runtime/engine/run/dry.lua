-- A dry run: reads are made, each write is said in place of being done, and its result is an unknown value. The native sink
-- (bindings/core/declare.cpp) calls `said` for every write; sessions are read-only in the server. Nothing is journaled.
-- What an unknown value touches is unknown too, never wrong: an item is judged only while nothing was skipped before it. Lua asks
-- nobody for `==` and for `if value`: an item that has read an unknown result and decides so is said to be uncertain.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local label = program.label
local M = {}

local now                      -- the item that is taken, as it will be shown
local skipped, contradictions, uncertain = 0, 0, 0
local counts = {}
local most_at_one_line = 25

-- Unknown values: what is made of one is unknown; what would decide by one stops.
local whats = setmetatable({}, { __mode = "k" })
local meta = {}

local function unknown(what)
  local value = host.object(meta)
  whats[value] = what
  return value
end

local function touch(what)
  if now then now.touched = now.touched or what end
end

local function passes(a, b)
  local what = whats[a] or whats[b]
  touch(what)
  return unknown(what)
end

local function stops(a, b)
  local what = whats[a] or whats[b]
  touch(what)
  host.raise("unknown", ("unknown: depends on %s, which a dry run skips"):format(what))
end

for _, name in ipairs { "index", "add", "sub", "mul", "div", "mod", "pow", "unm", "concat" } do meta["__" .. name] = passes end
for _, name in ipairs { "lt", "le", "len", "call", "newindex" } do meta["__" .. name] = stops end
meta.__tostring = function(value)
  touch(whats[value])
  return "‹" .. whats[value] .. "›"
end
meta.__name, meta.__metatable = "unknown", false

-- A database that every parameter with this address declares as read only is not written to in a run either.
local function check_access(call, target)
  local address, read_only = tostring(target), nil
  for _, entry in ipairs(program.parameters) do
    if entry.handle and tostring(entry.handle) == address then
      if (entry.t.access or "read") ~= "read" then return end
      read_only = entry.name
    end
  end
  if not read_only then return end
  host.raise("permission", ('%s is refused: parameter --%s is declared access = "read"'):format(call:match "^[%w_.]+", (read_only:gsub("_", "-"))),
    'declare access = "write" where the playbook means to write')
end

-- Called for each write in place of doing it; `reads` marks a read that needs an unknown value, `target` is what it is done to.
local function said(call, file, line, reads, target)
  if not reads and target and call:sub(1, 3) == "db." then check_access(call, target) end
  if file == "" and now.place then file, line = now.place.file, now.place.line end -- a tail call leaves no frame
  local place = file ~= "" and ("%s:%d"):format(file, line) or nil
  if reads then touch(call:match "^[%w_.]+" .. (place and " at " .. place or "")) end
  now.at = now.at or {}
  local key = (place or "?") .. (reads and "r" or "w")
  now.at[key] = (now.at[key] or 0) + 1
  if now.at[key] > most_at_one_line then
    host.raise("unknown", ("unknown: how often line %d repeats depends on what a dry run skips"):format(line))
  end
  now.writes[#now.writes + 1] = { call = call, file = place and file, line = place and line, reads = reads or nil }
  if not reads then skipped = skipped + 1 end
  return unknown(("the result of %s%s"):format(call:match "^[%w_.]+", place and " at " .. place or ""))
end

local function show(outcome, why)
  if outcome == "would" and now.touched and now.decides then
    now.uncertain = ("as far as known: %s decides by a value that may depend on %s, which a dry run skips"):format(now.decides, now.touched)
    uncertain = uncertain + 1
  end
  now.decides = nil
  now.outcome, now.why = outcome, why
  counts[outcome] = (counts[outcome] or 0) + 1
  now.touched, now.at, now.place = nil, nil, nil
  if #now.writes == 0 then now.writes = nil end
  host.dry_item(now)
end

local certain = { permission = true, usage = true }

-- What an error means: a contradiction only where nothing skipped can be the reason.
local function problem(err, before)
  local map = host.error_map(err)
  now.where, now.hint = map.where, map.hint
  local own = 0
  for _, write in ipairs(now.writes) do own = own + ((write.reads or write.wait) and 0 or 1) end
  if err.kind == "db.read_only" and own == 0 then
    now.writes[#now.writes + 1] = { call = err.message }
    now.hint = nil
    skipped = skipped + 1
    return show("would", "the server would be told to write; it refused that in a read-only session")
  end
  if certain[err.kind] or err.kind == "argument" and not now.touched or (before == 0 and own == 0 and not now.touched) then
    contradictions = contradictions + 1
    return show("fails", err.message)
  end
  if own > 0 then return show("would", "what follows is unknown: " .. err.message:gsub("^unknown: ", "")) end
  if now.touched then return show("unknown", ("depends on %s, which a dry run skips"):format(now.touched)) end
  show("unknown", ("does not work yet, after the writes above it may: %s"):format(err.message))
end

-- Nothing in a dry run may wait for what it did not do.
local function limited(item, fn, ...)
  local seconds = common.seconds(item.t.timeout)
  if skipped > 0 then seconds = math.min(seconds or 60, 60) end
  return common.limited(seconds, fn, ...)
end

-- The context of a step: sub-steps and transactions as in a run, but for what the sink says instead of doing it.
local function context(item)
  local ctx = common.context(item, { progress = function() end })
  function ctx.step(name, spec)
    if type(spec) == "function" then spec = { run = spec } end
    engine.substep.allow(item, { sub = { item = item, name = name, spec = spec } })
    local result = spec.run(ctx)
    engine.substep.allow(item)
    return result
  end
  function ctx.transaction(connection, fn)
    host.allow "writes"
    local result = fn(connection)
    engine.substep.allow(item)
    return result
  end
  return ctx
end

-- A dry run waits for nothing: a sleep is said, and a wait for something looks once.
local function sleep(duration)
  now.writes[#now.writes + 1] = { call = ("wait: sleep(%q)"):format(tostring(duration)), wait = true }
end

local function every(interval, fn, options)
  local value = fn(1)
  local reached = options and options.until_
  if not reached then return 1 end
  if reached(value) == true then return value end
  touch("what every() waits for")
  host.raise("unknown", "unknown: whether what every() waits for is ever reached")
end

local function body(item, ctx)
  for _, action in ipairs(item.actions or {}) do action.run(ctx) end
  if item.t.run then return item.t.run(ctx) end
end

local take = {}

-- The toggle's state, looked at: what the switch would change.
local switched = {}
local function look_at_toggle(item)
  for _, action in ipairs(item.actions or {}) do
    local before = switched[action.toggle or action]
    switched[action.toggle or action] = true
    if action.observe and not before then
      common.allow_reads(item)
      local ok, state = host.try(action.observe, context(item))
      if ok and state == "done" then now.state = "it is so already"
      elseif ok and state ~= "absent" then now.state = "its state now is unknown" end
    end
  end
end

-- Whether the step is wanted: true, false and why, or nil where the answer ended it.
local function wanted(item, before)
  local only_if = item.t.only_if
  if only_if == nil then return true end
  if type(only_if) == "function" then
    common.allow_reads(item)
    local ok, value = host.try(only_if)
    if not ok then
      problem(value, before)
      return nil
    end
    if whats[value] then
      show("unknown", ("whether it runs depends on %s, which a dry run skips"):format(whats[value]))
      return nil
    end
    if now.touched then
      show("unknown", ("whether it runs depends on %s, which a dry run skips"):format(now.touched))
      return nil
    end
    only_if = value
  end
  return only_if == true
end

function take.step(item)
  local before, t = skipped, item.t
  local run = wanted(item, before)
  if run == nil then
    item.status, item.result = "finished", unknown(label(item.kind, item.name))
    return
  elseif not run then
    item.status = "skipped"
    return show("skipped", "only_if is not true")
  end
  if t.manual then
    item.status, skipped = "finished", skipped + 1
    return show("asks", ("%s does by hand: %s"):format(t.owner or "a person", t.manual))
  end
  item.status, item.result = "finished", unknown(label(item.kind, item.name))
  if t.capture then
    common.allow_reads(item)
    local ok, saved = host.try(function() return host.store(t.capture(context(item))) end)
    if not ok then return problem(saved, before) end
    item.saved = saved
  end
  look_at_toggle(item)
  engine.substep.allow(item)
  local ok, result = limited(item, body, item, context(item))
  if not ok then return problem(result, before) end
  local waits_only = true
  for _, write in ipairs(now.writes) do waits_only = waits_only and write.wait end
  if not waits_only then return show("would") end
  if now.touched then return show("unknown", ("depends on %s, which a dry run skips"):format(now.touched)) end
  ok, result = host.try(host.store, result)
  if not ok then return problem(result, before) end
  item.result, now.result = result, result
  if t.verify then
    common.allow_reads(item)
    local fine, err = host.try(function() engine.step.check_verified(t.verify(common.context(item, { result = result }))) end)
    if not fine then return problem(err, before) end
  end
  show("looked")
end

function take.checkpoint(item)
  local before, t = skipped, item.t
  if t.on == "rollback" then return show("back", "met only on the way back") end
  common.allow_reads(item)
  local ok, passed, result, err = limited(item, engine.judge.look, t.run, t.pass, context(item))
  if not ok then err, passed = passed, false end
  item.status, item.result = "finished", result
  if passed and not now.touched and #now.writes == 0 then
    now.result = result
    return show("looked", "passes")
  end
  if now.touched then
    item.result = unknown(label(item.kind, item.name))
    return show("unknown", ("depends on %s, which a dry run skips"):format(now.touched))
  end
  if err then return problem(err, before) end
  now.result, now.where = result, host.place(t.pass)
  local verdict = engine.judge.decide(t.fail, result)
  local leads = verdict.verdict .. (verdict.why and ": " .. verdict.why or "")
  if before > 0 then return show("unknown", "does not pass yet, after the writes above it may; otherwise " .. leads) end
  contradictions = contradictions + 1
  show("fails", "does not pass: " .. leads)
end

local function question(item)
  local ask = item.t.ask
  if type(ask) ~= "function" then return tostring(ask) end
  common.allow_reads(item)
  local ok, text = host.try(ask)
  if not ok then return nil, text end
  return tostring(text)
end

function take.gate(item)
  local t, header = item.t, program.header().t
  local text, err = question(item)
  if not text and not now.touched then return problem(err, skipped) end
  local within = t.within or (header.ask or {}).within
  item.status, item.result = "finished", unknown(label(item.kind, item.name))
  show("asks", ("%s: %s%s, otherwise %s"):format(t.role or "anyone", text or "a question that depends on what a dry run skips",
    within and " – within " .. host.duration_text(host.parse_duration(within)) or "", tostring(t.otherwise or (header.ask or {}).otherwise or "hold")))
end

function take.checklist(item)
  local before, bad, asked = skipped, {}, {}
  for _, entry in ipairs(item.t) do
    if entry.__class == "confirm" then asked[#asked + 1] = ("%s: %s"):format(entry.role or "anyone", entry.text) else
      common.allow_reads(item)
      local ok, value = limited(item, entry.fn)
      if not ok or value ~= true then bad[#bad + 1] = entry.text .. (not ok and " (" .. value.message .. ")" or "") end
    end
  end
  item.status, item.result = "finished", unknown(label(item.kind, item.name))
  if #asked > 0 then now.asks = asked end
  if #bad == 0 and now.touched then return show("unknown", ("depends on %s, which a dry run skips"):format(now.touched)) end
  if #bad == 0 then return show(#asked > 0 and "asks" or "looked", #asked > 0 and "people confirm" or "all probes hold") end
  local why = table.concat(bad, "; ")
  if before > 0 or now.touched then return show("unknown", "does not hold yet, after the writes above it may: " .. why) end
  contradictions = contradictions + 1
  show("fails", "does not hold: " .. why)
end

-- What a monitor looks at, once: its samples only look.
function take.monitor(item)
  item.timeout_s, item.stale_s = common.seconds(item.t.timeout) or math.max(item.every_s, 5), math.huge
  local data = engine.sample.take(item)
  local seen, list, refused = {}, {}, nil
  for _, rule in ipairs(item.rules) do
    if not seen[rule.name] then
      seen[rule.name] = true
      local value, none = (data.v or {})[rule.name], (data.x or {})[rule.name]
      list[#list + 1] = ("%s %s"):format(rule.name, value ~= nil and "= " .. tostring(value) or "has no data now (" .. tostring(none) .. ")")
      refused = refused or none and (none:match "^permission: (.+)" or none:match "^usage: (.+)" or none:match "^argument: (.+)")
    end
  end
  item.status, item.result = "finished", unknown(label(item.kind, item.name))
  if refused and not now.touched then
    contradictions = contradictions + 1
    return show("fails", refused)
  end
  if now.touched then return show("unknown", ("depends on %s, which a dry run skips"):format(now.touched)) end
  show(data.v and "looked" or "unknown", "looked once: " .. table.concat(list, ", "))
end

-- Databases must answer, and be empty where the playbook says so, as before a run.
local function check_database(entry)
  now = { kind = "database", name = entry.name, writes = {} }
  local path = tostring(entry.handle):match "^sqlite:(.+)$"
  if path and path ~= ":memory:" and entry.t.access ~= "read" and not host.file_exists(path) then
    skipped = skipped + 1
    now.writes[1] = { call = "make the file " .. path }
    return show "would"
  end
  host.enter_step("", "")
  host.allow "reads"
  local ok, version = host.try(host.database.version, entry.handle)
  if not ok then return problem(version, 0) end
  if entry.t.empty then
    local found, tables = host.try(host.database.tables, entry.handle)
    if not found then return problem(tables, 0) end
    if #tables > 0 then
      contradictions = contradictions + 1
      return show("fails", ("%s is not empty: %d table%s"):format(tostring(entry.handle), #tables, #tables == 1 and "" or "s"))
    end
  end
  show("looked", tostring(entry.handle) .. " answers")
end

-- The whole playbook. Returns the exit code.
function M.run()
  host.on_dry(said)
  program.language.on_result = function(item)
    if whats[item.result] then touch(whats[item.result]) end
  end
  program.composition.sleep, program.composition.every = sleep, every
  host.append = function() return { seq = 0, last_request = 0 } end -- no journal: what an item would record is nothing
  host.requests = function() return {} end
  local header = program.header()
  host.dry_item { kind = "begin", name = header.name, summary = header.t.summary or "" }
  for _, entry in ipairs(program.parameters) do
    if entry.handle then check_database(entry) end
  end
  for _, item in ipairs(program.track) do
    now = { kind = item.kind, name = item.name, owner = item.t.owner or item.t.role, writes = {}, says = type(item.t.says) == "string" and item.t.says or nil }
    if type(item.t.run) == "function" then
      now.place = host.place(item.t.run)
      local line, file = host.decides(item.t.run)
      now.decides = line and ("line %d%s"):format(line, file ~= item.file and " of " .. file or "")
    end
    if item.kind == "phase" then host.dry_item(now)
    elseif take[item.kind] then take[item.kind](item)
    else show("later", "no part of a dry run") end
    if host.interrupted() then host.raise("cancelled", "interrupted: nothing was changed") end
  end
  host.dry_item { kind = "end", counts = counts, writes = skipped, contradictions = contradictions, uncertain = uncertain }
  return contradictions == 0 and 0 or 1
end

return M

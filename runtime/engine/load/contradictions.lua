-- What contradicts itself in a playbook that loads: found by `check`, and before a run. Errors are what can never work as it
-- stands; warnings what will stop a run where it is reached. Adds program.contradictions.
local host, program = ...
local jit_util = host.jit_util

local sample = loadstring "local value = area.field"
local global_get, field_get = jit_util.funcbc(sample, 1) % 256, jit_util.funcbc(sample, 2) % 256

-- The functions `area.name` that the function itself reads, not those that it only defines: visit(name, line).
local function each_area_function(fn, visit)
  local pc = 1
  while true do
    local instruction = jit_util.funcbc(fn, pc)
    if not instruction then return end
    local following = jit_util.funcbc(fn, pc + 1)
    if instruction % 256 == global_get and following and following % 256 == field_get
      and math.floor(instruction / 256) % 256 == math.floor(following / 16777216) % 256 then
      visit(("%s.%s"):format(tostring(jit_util.funck(fn, -math.floor(instruction / 65536) - 1)),
        tostring(jit_util.funck(fn, -(math.floor(following / 65536) % 256) - 1))), jit_util.funcinfo(fn, pc).currentline)
    end
    pc = pc + 1
  end
end

-- Rule 2, seen before the run: a step whose run itself calls what changes the world, and that has no way back.
local function check_effects(item, writes, add)
  if item.kind ~= "step" or type(item.t.run) ~= "function" or program.asked.has_way_back(item) then return end
  local found
  each_area_function(item.t.run, function(name, line)
    if writes[name] and not found then found = { name = name, line = line } end
  end)
  if found then
    add({ file = item.file, line = found.line }, ('step "%s": calls %s and has no way back: give it undo, keep "why" or loses'):format(item.name, found.name), true)
  end
end

local function check_ways(item, header, add)
  local ways = (header.t.rollback or {}).ways
  if not ways then return end
  local known = {}
  for _, way in ipairs(type(ways) == "table" and ways or { ways }) do known[way] = true end
  local function check(way, what)
    if way and not known[way] then
      add(item, ("%s: %s names the way '%s', and rollback.ways does not%s"):format(program.label(item.kind, item.name), what, tostring(way), host.did_you_mean(tostring(way), known)))
    end
  end
  if type(item.t.undo) == "table" and not program.is(item.t.undo, program.classes.Way) then
    for _, way in ipairs(host.sorted_keys(item.t.undo)) do check(way, "undo") end
  end
  if type(item.t.fail) ~= "table" then return end
  for _, row in ipairs(item.t.fail) do check(type(row[1]) == "table" and row[1].way, "fail") end
  check(type(item.t.fail.otherwise) == "table" and item.t.fail.otherwise.way, "fail")
end

local function check_times(item, add)
  local takes, timeout = item.t.takes and host.parse_duration(item.t.takes), item.t.timeout and host.parse_duration(item.t.timeout)
  if takes and timeout and takes > timeout then
    add(item, ("%s: its estimate of %s is longer than its timeout of %s"):format(program.label(item.kind, item.name),
      host.duration_text(takes), host.duration_text(timeout)), true)
  end
end

local function check_asked(item, roles, add)
  if not roles or type(item.t.fail) ~= "table" then return end
  local function check(verdict)
    for _, role in ipairs(type(verdict) == "table" and verdict.verdict == "ask" and verdict.roles or {}) do
      if type(role) == "string" and not roles[role] then
        add(item, ("%s: asks '%s', and there is no such role%s"):format(program.label(item.kind, item.name), role, host.did_you_mean(role, roles)))
      end
    end
  end
  for _, row in ipairs(item.t.fail) do check(row[1]) end
  check(item.t.fail.otherwise)
end

function program.contradictions(add)
  local header = program.header()
  local writes = host.writing_functions and host.writing_functions() or {}
  for _, item in ipairs(program.track) do
    check_effects(item, writes, add)
    check_ways(item, header, add)
    check_times(item, add)
    check_asked(item, header.t.roles, add)
  end
end

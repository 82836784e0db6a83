-- Completes the host library in Lua: what the engine's files need beyond the C++ functions. Returns nothing.
local host = ...
local xpcall, handler, sort, tostring, type, pairs = xpcall, host.error_handler, table.sort, tostring, type, pairs

math.randomseed(host.seed()) -- jitter must differ from run to run

-- Calls a function of the playbook: true and its results, or false and the error table with the playbook's line.
function host.try(fn, ...) return xpcall(fn, handler, ...) end

function host.sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  sort(keys, function(a, b)
    if type(a) == type(b) and type(a) ~= "boolean" and type(a) ~= "table" then return a < b end
    return type(a) == "number" or type(b) ~= "number" and tostring(a) < tostring(b)
  end)
  return keys
end

function host.did_you_mean(word, choices, prefix)
  local names = {}
  for name in pairs(choices) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  local best = host.nearest(word, names)
  return best and (" (did you mean '%s%s'?)"):format(prefix or "", best) or ""
end

-- Rule 1, by the bytecode: the first upvalue that a function of the file assigns, and its line.
local jit_util = host.jit_util
local function opcode(code)
  local fn = (loadstring("local up, other = 1 return function(a) " .. code .. " end"))()
  return jit_util.funcbc(fn, 1) % 256
end
local stores = { [opcode "up = a"] = true, [opcode "up = 'text'"] = true, [opcode "up = 1"] = true, [opcode "up = true"] = true }

local function each_store(fn, visit)
  local pc = 1
  while true do
    local instruction = jit_util.funcbc(fn, pc)
    if not instruction then break end
    if stores[instruction % 256] then
      visit(jit_util.funcuvname(fn, math.floor(instruction / 256) % 256), jit_util.funcinfo(fn, pc).currentline)
    end
    pc = pc + 1
  end
  local index = -1
  while true do
    local constant = jit_util.funck(fn, index)
    if constant == nil then break end
    if type(constant) == "proto" then each_store(constant, visit) end
    index = index - 1
  end
end

function host.assigned_upvalue(fn)
  local own = {}
  for i = 1, 255 do
    local name = debug.getupvalue(fn, i)
    if not name then break end
    own[name] = true
  end
  local found, line
  each_store(fn, function(name, at)
    if own[name] and not found then found, line = name, at end
  end)
  return found, line
end

-- Names that a chunk reads or writes as globals: visit(name, line, writes).
local names_by_opcode = {}
names_by_opcode[jit_util.funcbc(loadstring "local a = name", 1) % 256] = "read"
names_by_opcode[jit_util.funcbc(loadstring "local a name = a", 2) % 256] = "write"

function host.each_global(fn, visit)
  local pc = 1
  while true do
    local instruction = jit_util.funcbc(fn, pc)
    if not instruction then break end
    local kind = names_by_opcode[instruction % 256]
    if kind then visit(jit_util.funck(fn, -math.floor(instruction / 65536) - 1), jit_util.funcinfo(fn, pc).currentline, kind == "write") end
    pc = pc + 1
  end
  local index = -1
  while true do
    local constant = jit_util.funck(fn, index)
    if constant == nil then break end
    if type(constant) == "proto" then host.each_global(constant, visit) end
    index = index - 1
  end
end

-- The line in which a function first decides by something that may be an unknown value of a dry run without asking it: Lua's `==`
-- with one is false, and `if value` is true. Functions of the file that it calls count too. Nil where it decides nothing so.
local decides = {}
for _, code in ipairs { "if a == b then end", "if a ~= b then end", "if a == 1 then end", "if a ~= 1 then end", "if a == 'x' then end", "if a ~= 'x' then end",
  "if a == nil then end", "if a ~= nil then end", "if a then end", "if not a then end", "local c = a or b", "local c = a and b" } do
  decides[jit_util.funcbc(loadstring("local a, b = ... " .. code), 2) % 256] = true
end
local function first_decision(fn)
  local pc = 1
  while true do
    local instruction = jit_util.funcbc(fn, pc)
    if not instruction then break end
    if decides[instruction % 256] then return jit_util.funcinfo(fn, pc).currentline end
    pc = pc + 1
  end
  local index = -1
  while true do
    local constant = jit_util.funck(fn, index)
    if constant == nil then return nil end
    local line = type(constant) == "proto" and first_decision(constant)
    if line then return line end
    index = index - 1
  end
end
function host.decides(fn, seen)
  seen = seen or {}
  local place = type(fn) == "function" and not seen[fn] and debug.getinfo(fn, "S")
  if not place or place.source:sub(1, 1) ~= "@" then return nil end
  seen[fn] = true
  local line = first_decision(fn)
  if line then return line, place.source:sub(2) end
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then return nil end
    local file
    line, file = host.decides(value, seen)
    if line then return line, file end
  end
end

-- Whether a function of the playbook reads `ctx.<field>`, where ctx is a parameter of it or of a function that it calls by name,
-- also one of a library (`lib.part(ctx)`). What only a run shows (a context kept in a table) is found there.
local get_field = jit_util.funcbc(loadstring "local a = ... return a.name", 2) % 256
local get_upvalue = jit_util.funcbc(loadstring("local up = ... return function() return up.name end")(1), 1) % 256

local function proto_reads(fn, field, contexts, used)
  local pc, before = 1, 0
  local parameters = jit_util.funcinfo(fn).params
  while true do
    local instruction = jit_util.funcbc(fn, pc)
    if not instruction then break end
    if instruction % 256 == get_field then
      local constant, from = math.floor(instruction / 65536) % 256, math.floor(instruction / 16777216) % 256
      local of = before % 256 == get_upvalue and math.floor(before / 256) % 256 == from and jit_util.funcuvname(fn, math.floor(before / 65536))
      local name = jit_util.funck(fn, -constant - 1)
      if name == field and (from < parameters or of and contexts[of]) then return true end
      if of then used[#used + 1] = { of = of, name = name } end
    end
    pc, before = pc + 1, instruction
  end
  local index = -1
  while true do
    local constant = jit_util.funck(fn, index)
    if constant == nil then return false end
    if type(constant) == "proto" and proto_reads(constant, field, contexts, used) then return true end
    index = index - 1
  end
end

function host.reads_field(fn, field, seen)
  seen = seen or {}
  if seen[fn] or debug.getinfo(fn, "S").what == "C" then return false end
  seen[fn] = true
  local used = {}
  if proto_reads(fn, field, { [debug.getlocal(fn, 1) or "ctx"] = true, ctx = true }, used) then return true end
  local function follow(value) return type(value) == "function" and debug.getinfo(value, "S").source:sub(1, 1) == "@" and host.reads_field(value, field, seen) end
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then return false end
    if follow(value) then return true end
    if type(value) == "table" and getmetatable(value) == nil then
      for _, one in ipairs(used) do
        if one.of == name and follow(rawget(value, one.name)) then return true end
      end
    end
  end
  return false
end

-- Where a function of the playbook stands: {file, line, source}.
function host.place(fn)
  local info = debug.getinfo(fn, "S")
  if info.source:sub(1, 1) ~= "@" then return nil end
  local file = info.source:sub(2)
  return { file = file, line = info.linedefined, source = host.source_line(file, info.linedefined) }
end

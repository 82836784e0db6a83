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

-- Where a function of the playbook stands: {file, line, source}.
function host.place(fn)
  local info = debug.getinfo(fn, "S")
  if info.source:sub(1, 1) ~= "@" then return nil end
  local file = info.source:sub(2)
  return { file = file, line = info.linedefined, source = host.source_line(file, info.linedefined) }
end

-- Values of Firestore, as its REST API writes them: { integerValue = "5" }. Part of `firestore`.
local M = {}
local to_fields

local function to_value(value, where)
  local kind = type(value)
  if value == null then return { nullValue = null } end
  if kind == "boolean" then return { booleanValue = value } end
  if kind == "string" then return { stringValue = value } end
  if kind == "number" then
    if value % 1 == 0 and math.abs(value) <= 2 ^ 53 then return { integerValue = ("%.0f"):format(value) } end
    return { doubleValue = value }
  end
  if kind == "table" then
    if json.encode(value):sub(1, 1) == "[" then
      local list = json.array {}
      for i, item in ipairs(value) do list[i] = to_value(item, ("%s[%d]"):format(where, i)) end
      return { arrayValue = { values = list } }
    end
    return { mapValue = { fields = to_fields(value, where) } }
  end
  local ok, iso = pcall(time.iso, value)
  if ok then return { timestampValue = iso } end
  local text = tostring(value)
  if text:find "^%-?%d+$" then return { integerValue = text } end
  error { kind = "argument", message = ("field '%s': Firestore has no %s"):format(where, kind) }
end

function to_fields(table_, where)
  local fields = {}
  for name, value in pairs(table_) do fields[name] = to_value(value, where == "" and name or where .. "." .. name) end
  return fields
end

local from_fields

local function from_value(value)
  local kind, inner = next(value)
  if kind == "integerValue" then return json.decode(tostring(inner)) end
  if kind == "timestampValue" then return time.parse(inner) end
  if kind == "arrayValue" then
    local list = json.array {}
    for i, item in ipairs(inner.values or {}) do list[i] = from_value(item) end
    return list
  end
  if kind == "mapValue" then return from_fields(inner.fields or {}) end
  return inner -- null, boolean, double, text; bytes in base64, references and places as the API shows them
end

function from_fields(fields)
  local result = {}
  for name, value in pairs(fields) do result[name] = from_value(value) end
  return result
end

M.to_fields, M.from_fields, M.to_value = to_fields, from_fields, to_value
return M

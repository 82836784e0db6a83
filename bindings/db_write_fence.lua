local db = ...
local close, open, state, held = db.fence_on, db.fence_off, db.fence_state, db.fence_held
local type, error, pairs, ipairs, tostring = type, error, pairs, ipairs, tostring
local function fail(text) error("db.write_fence: " .. text, 3) end
local known = { role = "strings", except = "strings", within = "duration", counted = "boolean" }
local function check(options)
  for name, value in pairs(options) do
    local wanted, fits = known[name], true
    if not wanted then fail("argument 2 'options': unknown option '" .. tostring(name) .. "' (counted, except, role, within)") end
    if wanted == "strings" then
      fits = type(value) == "string" or type(value) == "table" and #value > 0
      for _, one in ipairs(type(value) == "table" and value or {}) do fits = fits and type(one) == "string" end
    elseif wanted == "duration" then fits = type(value) == "string" or type(value) == "number"
    else fits = type(value) == wanted end
    if not fits then
      fail(("argument 2 'options': option '%s': %s expected, got %s"):format(name, wanted == "strings" and "a name or a list of names" or wanted, type(value)))
    end
  end
  if options.role and options.except then fail "argument 2 'options': option 'except' goes with a fence for everybody, not with 'role'" end
end
return function(connection, options)
  check(options or {})
  local fence = toggle {
    on = function() return close(connection, options) end,
    off = function() return open(connection, options) end,
    state = function() return state(connection, options) end,
  }
  -- What was interrupted half way is neither: both ways can be gone again from there.
  for to, action in pairs { on = fence.on, off = fence.off } do
    action.observe = function()
      local now = state(connection, options)
      return now == to and "done" or "absent"
    end
  end
  fence.held = function() return held(connection, options) end
  fence.connection, fence.options = connection, options or {}
  return fence
end

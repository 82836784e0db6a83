-- Dates as people write them: "T-7d", "Thursday 07:00 Europe/Berlin", "2026-11-20 22:00 Europe/Berlin", "2026-11-20T22:00Z".
-- Pure: reads no clock; what is relative gets its base from the caller. Errors say what was not understood.
local host = ...
local M = {}

local weekdays = { sunday = 0, monday = 1, tuesday = 2, wednesday = 3, thursday = 4, friday = 5, saturday = 6 }

local function clock(text)
  local hour, minute, rest = text:match "^(%d%d?):(%d%d)(.*)$"
  local second = rest and rest:match "^:(%d%d)$"
  if not hour or rest ~= "" and not second then return nil end
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second or 0)
  if hour > 23 or minute > 59 or second > 59 then return nil end
  return { hour = hour, minute = minute, second = second }
end

local function bad(text, why) return nil, ("'%s' is not a date: %s"):format(text, why) end

-- A zone that exists, or nil and why not.
local function zone_of(name)
  if name == "Z" then return "UTC" end
  local ok, problem = host.try(host.calendar, 0, name)
  if not ok then return nil, problem.message end
  return name
end

-- Reads a date. Returns {kind = "offset", seconds} from T, {kind = "instant", at}, or {kind = "next", weekday, clock, zone};
-- or nil and what is wrong with it.
function M.parse(text)
  if type(text) ~= "string" then return nil, ("a date such as \"Thursday 07:00 Europe/Berlin\" or \"T-7d\" expected, got %s"):format(host.type_word(text)) end
  if text == "T" then return { kind = "offset", seconds = 0 } end
  local sign, rest = text:match "^T%s*([+-])%s*(.+)$"
  if sign then
    local seconds = host.parse_duration(rest)
    if not seconds then return bad(text, ("'%s' is not a duration (30s, 10m, 1h30m, 7d)"):format(rest)) end
    return { kind = "offset", seconds = sign == "-" and -seconds or seconds }
  end
  local date, after = text:match "^(%d%d%d%d%-%d%d%-%d%d)[T ](.*)$"
  if date or text:match "^%d%d%d%d%-" then
    if not date then return bad(text, "write 2026-11-20 22:00 Europe/Berlin") end
    local time, zone = after:match "^(%S-)%s+(%S+)$"
    if not time then time, zone = after:match "^([%d:.]+)(Z)$" end
    if not time then
      local instant = after:match "[+-]%d%d:?%d?%d?$" and host.parse_time(text)
      if instant then return { kind = "instant", at = instant } end
      if clock(after) then return bad(text, ("its time zone is missing: %s Europe/Berlin, or %sZ for UTC"):format(text, text)) end
      return bad(text, "write 2026-11-20 22:00 Europe/Berlin")
    end
    local hands = clock(time)
    if not hands then return bad(text, ("'%s' is not a time of day (22:00)"):format(time)) end
    local known, problem = zone_of(zone)
    if not known then return bad(text, problem) end
    local year, month, of_month = date:match "^(%d+)-(%d+)-(%d+)$"
    local at = host.instant({ year = tonumber(year), month = tonumber(month), day = tonumber(of_month),
      hour = hands.hour, minute = hands.minute, second = hands.second }, known)
    if not at then return bad(text, ("there is no %s in the calendar"):format(date)) end
    return { kind = "instant", at = at }
  end
  local words = {}
  for word in text:gmatch "%S+" do words[#words + 1] = word end
  local weekday
  if words[1] and not words[1]:match "^%d" then
    weekday = weekdays[words[1]:lower()]
    if not weekday then
      local known = {}
      for name in pairs(weekdays) do known[name:sub(1, 1):upper() .. name:sub(2)] = 1 end
      return bad(text, ("no weekday '%s'%s"):format(words[1], host.did_you_mean(words[1], known)))
    end
    table.remove(words, 1)
  end
  if #words == 0 then return bad(text, "its time of day is missing: Thursday 07:00 Europe/Berlin") end
  local hands = clock(words[1])
  if not hands then return bad(text, ("'%s' is not a time of day (22:00)"):format(words[1])) end
  if not words[2] then return bad(text, ("its time zone is missing: %s Europe/Berlin"):format(text)) end
  if words[3] then return bad(text, ("'%s' was not expected"):format(words[3])) end
  local zone, problem = zone_of(words[2])
  if not zone then return bad(text, problem) end
  return { kind = "next", weekday = weekday, clock = hands, zone = zone }
end

-- The instant of a parsed date: `T` for offsets; the first one after `after` for weekdays and times of day.
function M.instant(parsed, T, after)
  if parsed.kind == "offset" then return T + parsed.seconds end
  if parsed.kind == "instant" then return parsed.at end
  return host.next_time({ weekday = parsed.weekday, day = parsed.day, hour = parsed.clock.hour, minute = parsed.clock.minute, second = parsed.clock.second,
    zone = parsed.zone }, after)
end

return M

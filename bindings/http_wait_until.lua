local http = ...
return function(url, test, options)
  local given, within, every = { any_status = true }, "1m", "1s"
  for key, value in pairs(options or {}) do
    if key == "within" then within = value elseif key == "every" then every = value else given[key] = value end
  end
  -- Unknown in a dry run: nobody would answer. The request says that it is left out, and is unknown too.
  if type(url) ~= "string" or type(within) == "userdata" or type(every) == "userdata" then return http.get(url, options) end
  local limit = type(within) == "number" and within or time.duration(within)
  local begun, attempts, last = time.now(), 0, nil
  repeat
    attempts = attempts + 1
    local ok, response = pcall(http.get, url, given)
    if ok then
      if test(response) == true then return response end
      last = { kind = "http.status", message = ("GET %s: not what was waited for: status %d"):format(response.url, response.status) }
    elseif type(response) == "table" and tostring(response.kind):find "^http%." then last = response
    else error(response, 0) end
    given.after = every
  until time.now() - begun >= limit
  error({ kind = last.kind, message = ("%s (after %s, %d attempt%s)"):format(last.message, tostring(within), attempts,
    attempts == 1 and "" or "s"), hint = last.hint }, 2)
end

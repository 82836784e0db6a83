local ssh = ...
return function(target, options)
  local function run(command, apart)
    if apart then
      local both = {}
      for key, value in pairs(command) do
        if type(key) ~= "number" then error("options stand beside the words or apart, not both", 2) end
        both[key] = value
      end
      for key, value in pairs(apart) do both[key] = value end
      command = both
    end
    return ssh.run(target, command, options)
  end
  return { target = target, run = run, quote = sh.quote, script = sh.script }
end

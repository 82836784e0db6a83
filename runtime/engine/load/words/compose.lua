-- Words for use inside functions that run: parallel, race, every, sleep, deadline. The run phase fills them in (run/compose.lua).
local language = ...
local host, words = language.host, language.words

language.composition = {}
for _, word in ipairs { "parallel", "race", "every", "sleep", "deadline" } do
  words[word] = function(...)
    local fn = language.composition[word]
    if host.loading() or not fn then
      host.raise("load", word .. ": works inside a function that runs later, and a playbook only declares while it loads", "move the call into the run function of a step", 2)
    end
    return fn(...)
  end
end

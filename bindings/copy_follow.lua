local copy = ...
local begin, give_up, state, lag, drain = copy.follow_on, copy.follow_off, copy.follow_state, copy.follow_lag, copy.follow_drain
return function(source, target, options)
  local follow = toggle {
    on = function() return begin(source, target, options) end,
    off = function() return give_up(source, target) end,
    state = function() return state(source, target) == "on" and "on" or "off" end,
  }
  -- A second attempt goes on where the first one was.
  follow.on.observe = function() return state(source, target) == "on" and "done" or "absent" end
  follow.drain = action {
    run = function() return drain(source, target, options) end,
    undo = keep "slot and publication are gone, the source is as it was",
    observe = function() return state(source, target) == "drained" and "done" or "absent" end,
  }
  follow.state = function() return state(source, target) end
  follow.lag = function() return lag(source, target, options) end
  return follow
end

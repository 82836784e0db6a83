-- A function whose arguments are checked before.
local check, fn = ...
return function(...)
  check(...)
  return fn(...)
end

local csv = ...
return function(path, options)
  local reader, batch, at = csv.open(path, options), {}, 0
  return function()
    at = at + 1
    if at > #batch then
      batch, at = reader:next(1000), 1
    end
    return batch[at]
  end
end

local http = ...
return function(url, options)
  return function() return http.answers(url, options).up end
end

-- The maintenance page of an application that shows it while a file exists.
--   local maintenance = require "maintenance"
--   local page = maintenance.page { file = p.app_dir .. "tmp/maintenance.txt", url = p.app }
--   step "maintenance on" { page.on }
local M = {}

-- A toggle. On: the file exists and the address answers 503. Off: it is gone and the address answers 200 or a redirect.
-- Options: file, url, on_status (503), off_status ({200, 302}), within ("60s").
function M.page(options)
  local within = options.within or "60s"
  return toggle {
    on = function()
      fs.touch(options.file)
      http.expect(options.url, { status = options.on_status or 503, within = within })
    end,
    off = function()
      fs.remove(options.file)
      http.expect(options.url, { status = options.off_status or { 200, 302 }, within = within })
    end,
    state = function() return fs.exists(options.file) and "on" or "off" end,
  }
end

return M

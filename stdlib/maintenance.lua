-- The maintenance page of an application that shows it while a file exists.
--   local maintenance = require "maintenance"
--   local page = maintenance.page { file = p.app_dir .. "tmp/maintenance.txt", url = p.app }
--   step "maintenance on" { page.on }
local declare = require "declare"
local M, def = declare.module("maintenance", "The maintenance page of an application that shows it while a file exists.", 'needs = { files = { "app_dir" }, http = { "app" } }')

def "page" { doc = "A toggle. On: the file exists and the address answers 503. Off: it is gone and the address answers 200 or a redirect.",
  { "options", { file = { "text", "the file", required = true }, url = { "text", "the address that users see", required = true },
    on_status = { "any", "status, or a list of them, while it is on", default = 503 }, off_status = { "any", "the same while it is off (200 or 302)" },
    within = { "duration", "how long that may take", default = "60s" } }, "which page" },
  returns = { "toggle", "for steps: .on and .off" }, raises = { "argument" },
  example = [[local page = maintenance.page { file = "tmp/maintenance.txt", url = "http://localhost:3000/" }]],
  run = function(o)
    return toggle {
      on = function()
        fs.touch(o.file)
        http.expect(o.url, { status = o.on_status, within = o.within })
      end,
      off = function()
        fs.remove(o.file)
        http.expect(o.url, { status = o.off_status or { 200, 302 }, within = o.within })
      end,
      state = function() return fs.exists(o.file) and "on" or "off" end,
    }
  end }

return M

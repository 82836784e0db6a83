-- The decisions of quickstart.lua, without any database: runbook test playbooks/quickstart_test.lua
local closed = false
fake("fs", { mkdir = function() end, write = function() closed = true end, remove = function() closed = false end, exists = function() return closed end })
fake("db.counts", { orders = 3, total = 3 })
fake("backup", { create = { file = "backup/shop.sqlite", bytes = "1 kB" }, test_restore = { restored = true } })
fake("copy", { database = { tables = 1, rows = 3 }, state = "absent", discard = function() end })

local same = { coverage = 1, rows = 3, mismatches = 0, unsettled = 0, unchecked = {} }
fake("verify.database", same)

local databases = { source = "sqlite:shop.db", target = "sqlite:new.db" }

test("opens the shop once people said so", function()
  approve("open", { by = "anna", after = "2m" })
  run(databases):expect {
    outcome = "succeeded", exit = 0, elapsed = "2m",
    steps = { "close the shop", "baseline", "backup", "copy", "open the shop" },
    skipped = { "lose a row" }, asked = { "open" },
    messages = { "The shop is closed", "Backup backup/shop.sqlite", "1 tables, 3 rows", "Verified: 3 rows, 0 differences", "The shop is open again" },
  }
  expect.equal(closed, false, "the sign")
end)

test("goes back when a row is lost", function()
  fake("verify.database", { coverage = 1, rows = 3, mismatches = 1, unsettled = 0, unchecked = {} })
  run(databases):expect {
    outcome = "rolled_back", exit = 1, why = "the copy differs from its source",
    verdicts = { ["data verified"] = "rollback" }, undone = { "copy", "close the shop" }, kept = { "backup" }, asked = {},
  }
  expect.equal(closed, false, "the sign")
end)

test("trusts no verification that did not cover everything", function()
  for _, doubt in ipairs { { coverage = 0.99 }, { unsettled = 1 }, { unchecked = { "orders" } } } do
    local answer = {}
    for key, value in pairs(same) do answer[key] = value end
    for key, value in pairs(doubt) do answer[key] = value end
    fake("verify.database", answer)
    run(databases):expect { outcome = "rolled_back", verdicts = { ["data verified"] = "rollback" } }
  end
end)

test("goes back when nobody answers in five minutes", function()
  run(databases):expect { outcome = "rolled_back", why = "nobody answered in time", elapsed = "5m", undone = { "copy", "close the shop" } }
end)

test("goes back when the backup cannot be read back", function()
  fail("backup restores", { kind = "backup.broken", message = "unexpected end of file" })
  run(databases):expect { outcome = "rolled_back", errors = { ["backup restores"] = "unexpected end of file" }, steps = { "close the shop", "baseline", "backup" } }
end)

test("copies again when the connection was lost, three times at most", function()
  approve "open"
  fail("copy", { kind = "db.connection", message = "gone" }, { times = 2 })
  run(databases):expect { outcome = "succeeded", attempts = { copy = 3 } }
end)

test("gives up after three attempts, and goes back", function()
  fail("copy", { kind = "db.connection", message = "gone" }, { times = 3 })
  run(databases):expect { outcome = "rolled_back", attempts = { copy = 3 }, failed = { "copy" }, undone = { "copy", "close the shop" } }
end)

test("after a crash in the copy it looks, and copies again", function()
  crash "copy"
  run(databases):expect { outcome = "crashed", steps = { "close the shop", "baseline", "backup", "copy" } }
  approve "open"
  resume():expect { outcome = "succeeded", attempts = { backup = 1, copy = 2 }, called = { ["copy.state"] = 1 } }
end)

test("after a crash behind the copy it does not copy again", function()
  crash("copy", "finished")
  run(databases)
  approve "open"
  resume():expect { outcome = "succeeded", attempts = { copy = 1 }, called = { ["copy.database"] = 0 } }
end)

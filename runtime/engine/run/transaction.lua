-- ctx.transaction(connection, fn): SQL effects exactly once. A marker row in the same transaction says that it is done, also to
-- whoever comes after a crash; a second row holds the token of the run's holder, so that an older holder is refused.
local engine = ...
local host, program, common = engine.host, engine.program, engine.common
local label = program.label
local M = {}

local TABLE = "_runbook_done"
local RECONNECT_S = 30 -- how long a lost server is asked again whether the commit had arrived

local create = {
  postgresql = "create table if not exists " .. TABLE .. " (marker varchar(700) primary key, fence bigint not null, result text, at timestamptz not null default now())",
  mysql = "create table if not exists " .. TABLE .. " (marker varchar(700) character set utf8mb4 collate utf8mb4_bin primary key, fence bigint not null, "
    .. "result longtext character set utf8mb4, at timestamp not null default current_timestamp) engine = InnoDB row_format = dynamic",
  sqlite = "create table if not exists " .. TABLE .. " (marker text primary key, fence integer not null, result text, at text not null default current_timestamp)",
}
-- Takes the run's row for the length of the transaction, and raises its token to ours where it is older.
local take = {
  postgresql = "insert into " .. TABLE .. " (marker, fence) values (?, ?) on conflict (marker) do update set fence = greatest(" .. TABLE .. ".fence, excluded.fence)",
  mysql = "insert into " .. TABLE .. " (marker, fence) values (?, ?) on duplicate key update fence = greatest(fence, values(fence))",
  sqlite = "insert into " .. TABLE .. " (marker, fence) values (?, ?) on conflict (marker) do update set fence = max(fence, excluded.fence)",
}

local function in_doubt(kind, message, hint)
  local _, problem = host.try(host.raise, kind, message, hint)
  problem.in_doubt = true
  error(problem, 0)
end

-- The table is made once in each database, outside of any transaction: MySQL would commit in between.
local ready = setmetatable({}, { __mode = "k" })
local function ensure(db, connection)
  if ready[connection] then return end
  local function there() return host.try(db.value, connection, "select count(*) from " .. TABLE .. " where marker = ''") end
  local ok, problem = there()
  if not ok and problem.kind == "db.connection" then error(problem, 0) end
  if not ok then
    ok, problem = host.try(db.execute, connection, create[connection.engine])
    if not ok and not there() then -- another run may have made it at the same moment
      problem.message = ("ctx.transaction: the table %s of its markers is not there and cannot be made: %s"):format(TABLE, problem.message)
      problem.hint = "let somebody who may create it: " .. create[connection.engine]
      error(problem, 0)
    end
  end
  ready[connection] = true
end

-- In the open transaction: true and the result where the marker is there already, else what fn returned, with its marker.
local function inside(db, connection, key, fn)
  local mine = host.fence()
  db.execute(connection, take[connection.engine], host.run_id(), mine)
  local token = tonumber(tostring(db.value(connection, "select fence from " .. TABLE .. " where marker = ?", host.run_id())))
  if token > mine then
    host.raise("journal.fenced", ("ctx.transaction: run %s was taken over by another process (token %d, ours is %d)"):format(host.run_id(), token, mine),
      "this process must not touch the run any more; `runbook tail " .. host.run_id() .. "` follows it")
  end
  local row = db.one(connection, "select result from " .. TABLE .. " where marker = ?", key)
  if row then return true, row.result and host.parse(row.result) end
  if not fn then return false end
  db.execute(connection, "savepoint runbook_done")
  local text = host.dump(fn(connection))
  local ok, problem = host.try(db.execute, connection, "release savepoint runbook_done")
  if not ok then
    if problem.sqlstate == "25P02" then error(problem, 0) end
    in_doubt("db.error", "ctx.transaction: a statement in it has ended the transaction, so what it did is not tied to its marker: " .. problem.message,
      "MySQL commits before and after DDL (ALTER TABLE, CREATE, DROP, TRUNCATE): do that in a sub-step with observe")
  end
  db.execute(connection, "insert into " .. TABLE .. " (marker, fence, result) values (?, ?, ?)", key, mine, text)
  return false, host.parse(text)
end

local function close_open(db, connection)
  if not host.try(db.rollback, connection) then host.try(db.abandon, connection) end
end

-- One transaction. Returns whether it was done already, and the result; the third is a commit's error that leaves it open.
local function once(db, connection, key, fn)
  db.begin(connection)
  local ok, done, result = host.try(inside, db, connection, key, fn)
  if not ok then
    close_open(db, connection)
    error(done, 0)
  end
  local committed, problem = host.try(db.commit, connection)
  if committed then return done, result end
  if not problem.in_doubt and problem.kind ~= "db.connection" then
    close_open(db, connection)
    error(problem, 0)
  end
  return done, result, problem
end

-- The commit was sent and no answer came: a new session waits for the row that the old transaction holds, and looks.
local function resolve(db, connection, key, lost)
  local till = host.monotonic() + RECONNECT_S
  while true do
    host.try(db.close, connection)
    local ok, done, result, again = host.try(once, db, connection, key, nil)
    if ok and not again then
      if done then return result end
      lost.in_doubt = nil
      lost.message = lost.message .. "; its marker is not there: nothing was committed"
      error(lost, 0)
    end
    if not ok and done.kind == "journal.fenced" then error(done, 0) end
    if host.monotonic() >= till or not host.try(host.sleep, 0.5) then
      lost.in_doubt = true
      lost.message = lost.message .. "; whether it was committed cannot be asked now, its marker will tell"
      error(lost, 0)
    end
  end
end

local function perform(db, connection, key, fn)
  ensure(db, connection)
  local done, result, lost = once(db, connection, key, fn)
  if lost then result = resolve(db, connection, key, lost) end
  return result, done
end

-- `scope` counts the transactions of a step or sub-step; `back` gives back what the code around it may do.
local function run(item, scope, place, back, connection, fn)
  local db = host.database
  if type(fn) ~= "function" then host.raise("argument", "ctx.transaction: argument 2 'fn': a function expected, got " .. host.type_word(fn)) end
  if type(connection) ~= "userdata" then host.raise("argument", "ctx.transaction: argument 1 'connection': a database expected, got " .. host.type_word(connection)) end
  if scope.transaction then host.raise("usage", "ctx.transaction: inside another ctx.transaction") end
  local key = ("%s/%s/%s%s"):format(host.run_id(), item.name, place, engine.substep.next_path(scope))
  if #key > 700 then host.raise("argument", "ctx.transaction: the names of the run, step and sub-step are longer than a marker may be (700 characters)") end
  scope.transaction = true
  host.allow "writes"
  local before = host.effects[label("step", item.name)]
  local ok, result, done = host.try(perform, db, connection, key, fn)
  engine.substep.keep_effects(item, before) -- what stands in the transaction has a marker
  scope.transaction = nil
  back()
  if not ok then error(result, 0) end
  common.journal("transaction.committed", item, { name = scope.sub and scope.sub.name, marker = key, before = done or nil })
  return result
end

-- For the run of a step or sub-step.
function M.of(item, root)
  return function(connection, fn)
    local scope = engine.substep.scope() or root
    local sub = scope.sub
    if sub and not engine.substep.may_write(sub) or not sub and not common.has_own_way_back(item) then
      host.raise("permission", ("ctx.transaction is refused: %s has no way back"):format(sub and engine.substep.label_of(sub) or label("step", item.name)),
        'give it undo or keep "why"')
    end
    local place = (item.epoch and item.epoch > 0 and item.epoch .. "~" or "") .. (sub and ("%s/%s"):format(sub.name, sub.epoch > 0 and sub.epoch .. "~" or "") or "")
    return run(item, scope, place, function() engine.substep.allow(item, scope) end, connection, fn)
  end
end

-- For an undo, which may have other effects beside it.
function M.of_undo(item, sub)
  local epoch = sub and sub.epoch or item.epoch or 0
  local place = ("undo~%d/%s"):format(epoch, sub and sub.name .. "/" or "")
  local scope = { path = "", count = 0 }
  return function(connection, fn) return run(item, scope, place, function() host.allow "writes" end, connection, fn) end
end

return M

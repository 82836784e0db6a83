-- Migrating a collection of Firestore, batch by batch. What is done stands in the document _migrations/COLLECTION, which every batch writes in its own
-- commit: a batch is there with its note or not at all, so that a restart goes on where it was. Part of `firestore`.
local arguments = require "arguments"

return function(def, inner)
  local Database, request = inner.Database, inner.request
  inner.ledger = "_migrations"

  function inner.ledger_path(name) return inner.ledger .. "/" .. name:gsub("/", "__") end
  function inner.ledger_name(db, name) return inner.name_of(db, inner.ledger_path(name)) end

  -- Firestore's times are RFC 3339 with none to nine digits of a second, in UTC: as text of one length they compare.
  local function comparable(text)
    local whole, fraction = text:match "^([%d%-]+T[%d:]+)%.?(%d*)Z$"
    if not whole then error { kind = "firestore.answer", message = ("'%s' is no time of Firestore"):format(text) } end
    return whole .. "." .. (fraction .. "000000000"):sub(1, 9)
  end
  function inner.later(a, b) return comparable(a) > comparable(b) end

  -- Where a query over a collection ("" is every document) is sent, and its `from`; descendants as Firestore has them.
  local function over(db, collection, descendants)
    local parent, id = collection:match "^(.*)/([^/]+)$"
    return db.root .. "/documents" .. (parent and "/" .. inner.encoded(parent) or ""),
      { { collectionId = (id or collection) ~= "" and (id or collection) or nil, allDescendants = descendants or nil } }
  end

  -- Runs a structured query over a collection.
  function inner.query(db, collection, query, descendants)
    local path, from = over(db, collection, descendants)
    query.from = from
    return request(db, "POST", path .. ":runQuery", { reads = true, json = { structuredQuery = query } }).json
  end

  local by_name = { { field = { fieldPath = "__name__" }, direction = "ASCENDING" } }

  -- A page of documents behind the one called `after` (a full name). Returns the list and the time that it was read.
  function inner.page(db, collection, after, limit, only_names, descendants)
    local answer = inner.query(db, collection, { orderBy = by_name, limit = limit, select = only_names and { fields = { { fieldPath = "__name__" } } } or nil,
      startAt = after and { values = { { referenceValue = after } }, before = false } or nil }, descendants)
    local found, read = {}, nil
    for _, entry in ipairs(answer) do
      if entry.document then found[#found + 1] = entry.document end
      read = entry.readTime or read
    end
    return found, read
  end

  -- Iterates over the documents of a collection and of those below documents that have its id; name, times, no fields.
  function inner.names(db, collection)
    local page, at, after = {}, 0, nil
    return function()
      at = at + 1
      if at > #page then
        if after == false then return nil end
        page, at = inner.page(db, collection, after, 1000, true, true), 1
        after = #page == 1000 and page[#page].name or false
        if #page == 0 then return nil end
      end
      return page[at]
    end
  end

  function inner.count(db, collection, descendants)
    local path, from = over(db, collection, descendants)
    local answer = request(db, "POST", path .. ":runAggregationQuery", { reads = true,
      json = { structuredAggregationQuery = { aggregations = { { alias = "n", count = {} } }, structuredQuery = { from = from } } } }).json
    return tonumber(answer[1].result.aggregateFields.n.integerValue)
  end

  local function same(a, b) return json.encode(a, { sorted = true }) == json.encode(b, { sorted = true }) end

  -- The fields that differ, by name; what is gone too.
  local function changed_fields(old, new)
    local names = {}
    for name, value in pairs(new) do
      if old[name] == nil or not same({ old[name] }, { value }) then names[#names + 1] = name end
    end
    for name in pairs(old) do
      if new[name] == nil then names[#names + 1] = name end
    end
    return names
  end

  -- The writes that a page needs, and what each document shall be.
  local function transformed(db, page, transform)
    local writes, wanted = json.array {}, {}
    for _, one in ipairs(page) do
      local path = inner.short(one.name)
      local old = inner.from_fields(one.fields or {})
      local new = transform(inner.from_fields(one.fields or {}), path)
      if new ~= nil and type(new) ~= "table" then
        error { kind = "argument", message = ("firestore.migrate: transform must return the fields of %s, or nil to leave it, got %s"):format(path, type(new)) }
      end
      local names = new and changed_fields(old, new) or {}
      if #names > 0 then
        local fields = {}
        for _, name in ipairs(names) do fields[name] = new[name] end
        writes[#writes + 1] = inner.masked(db, path, fields, names, { updateTime = one.updateTime })
        wanted[one.name] = new
      end
    end
    return writes, wanted
  end

  -- Reads a page again and compares what was written.
  local function check_written(db, collection, after, limit, wanted)
    for _, one in ipairs((inner.page(db, collection, after, limit))) do
      if wanted[one.name] and not same(inner.from_fields(one.fields or {}), wanted[one.name]) then
        error { kind = "firestore.invalid", message = ("%s: what is stored is not what was written"):format(inner.short(one.name)), hint = "somebody else writes: keep writers out" }
      end
    end
  end

  local function summary(note)
    return { batch = note.batch, last = note.last, documents = note.documents, changed = note.changed, done = note.state == "done" }
  end

  -- One batch: read, transformed and written in one commit with its note. A document that somebody changed meanwhile is read again.
  local function migrate_batch(db, name, n, after, o)
    for attempt = 1, 5 do
      local note = db:get(inner.ledger_path(name))
      if note and note.version ~= o.version then note = nil end
      if note and (note.batch >= n or note.state == "done") then return summary(note) end
      local size = o.batch - 1 -- the note is a write too
      local page = inner.page(db, name, after, size)
      local writes, wanted = transformed(db, page, o.transform)
      local last = #page > 0 and page[#page].name or after
      local new = { version = o.version, batch = n, last = last or "", state = #page < size and "done" or "running",
        documents = (note and note.documents or 0) + #page, changed = (note and note.changed or 0) + #writes }
      writes[#writes + 1] = { update = { name = inner.ledger_name(db, name), fields = inner.to_fields(new, "") } }
      local ok, problem = pcall(inner.commit, db, writes)
      if ok and arguments.unknown(problem) then return problem end
      if ok then
        if o.validate then check_written(db, name, after, size, wanted) end
        return summary(new)
      end
      if type(problem) ~= "table" or attempt == 5 or problem.kind ~= "firestore.changed" and problem.kind ~= "firestore.conflict" then error(problem, 0) end
      sleep(0.1 * 2 ^ attempt)
    end
  end

  local errors = { "firestore.changed", "firestore.conflict", "firestore.invalid", "http.status", "http.connection", "http.timeout", "permission" }

  def "migrate" { of = Database,
    doc = "Changes every document of a collection by a function, in batches, each with its note in one commit: after a crash it goes on behind the last one, and no document is changed twice.",
    { "collection", "text", "its path" },
    { "options", { transform = { "function", "(fields, path) → the new fields, or nil to leave the document", required = true }, version = { "text", "of the migration; another one begins anew", default = "1" },
      batch = { "integer", "writes in a commit", default = 500 }, validate = { "boolean", "read each batch back and compare", default = false },
      each = { "function", "ctx.step: every batch is a sub-step" }, progress = { "function", "ctx.progress" } }, "what becomes of a document" },
    returns = { "table", "{documents, changed, batches}" }, raises = errors, writes = true,
    example = [[firestore.migrate(firestore.open { project = "shop" }, "users", { transform = function(fields)
  fields.plan = fields.plan or "free"
  return fields
end })]],
    run = function(db, name, o)
      inner.check_path("firestore.migrate", name, 1, "'%s' is a document; a collection has an odd number of parts")
      inner.check_batch("firestore.migrate", 3, o.batch)
      local total = o.progress and inner.count(db, name)
      local n, done = 0, nil
      repeat
        n = n + 1
        local number, after = n, done and done.last ~= "" and done.last or nil
        local function run() return migrate_batch(db, name, number, after, o) end
        if o.each then done = o.each(("%s, batch %d"):format(name, n), { run = run, idempotent = true }) else done = run() end
        if arguments.unknown(done) then return done end
        if not o.each and done.batch > n then n = done.batch end -- it goes on behind what an earlier run did
        if o.progress then o.progress(done.documents, total) end
      until done.done
      return { documents = done.documents, changed = done.changed, batches = done.batch }
    end }

  def "migration_state" { of = Database, doc = "For `observe` of a step that migrates: what the note about a collection says.", { "collection", "text", "its path" },
    { "options", { version = { "text", "of the migration", default = "1" } }, "which one" },
    returns = { "string", '"done", "partial" or "absent"; as a second value {documents, changed, batch}' }, raises = { "http.status", "http.connection", "http.timeout", "permission" }, reads = true,
    example = [[local state = firestore.migration_state(firestore.open { project = "shop" }, "users")]],
    run = function(db, name, o)
      local note = db:get(inner.ledger_path(name))
      if not note or note.version ~= o.version then return "absent" end
      return note.state == "done" and "done" or "partial", { documents = note.documents, changed = note.changed, batch = note.batch }
    end }
end

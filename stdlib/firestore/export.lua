-- Exports and imports of Firestore: long operations that are found again by the folder they go to. Part of `firestore`.
local arguments = require "arguments"

return function(def, inner)
  local Database, request = inner.Database, inner.request

  local function folder_of(id) return (id:gsub("[^%w.-]", "_")) end

  -- The newest operation of this database whose export goes to an address that ends so, or nil.
  local function find_operation(db, test)
    local found
    inner.pages(db, ("%s/operations?pageSize=100"):format(db.root), function(page)
      for _, one in ipairs(page.operations or {}) do
        local uri = one.metadata and one.metadata.outputUriPrefix
        if uri and test(uri) then
          found = one
          return false
        end
      end
    end)
    return found
  end

  local function to_folder(folder)
    return function(uri) return uri:sub(-#folder - 1) == "/" .. folder end
  end

  local function result_of(one)
    if one.error then error { kind = "firestore.operation", message = ("%s failed: %s"):format(one.name, one.error.message or "no reason given") } end
    local done = (one.metadata.progressDocuments or {}).completedWork
    return { operation = one.name, uri = one.response and one.response.outputUriPrefix, documents = done and json.decode(tostring(done)) or nil,
      collections = one.metadata.collectionIds, started = one.metadata.startTime }
  end

  -- For a loop that asks again: a function that pauses, or raises `late` with the time where it took too long.
  function inner.pauses(o)
    local began, pause = time.now(), 0.1
    return function(late)
      if time.since(began) > o.within then error { kind = "firestore.timeout", message = ("%s after %s"):format(late, time.text(o.within)) } end
      sleep(math.min(pause, o.every)) -- short at first: many are small
      pause = pause * 2
    end
  end

  -- Waits for a long operation to end and returns what became of it.
  local function await(db, one, o)
    local pause = inner.pauses(o)
    while not one.done do
      local work = one.metadata and one.metadata.progressDocuments
      if o.progress and work and work.completedWork then o.progress(tonumber(work.completedWork), tonumber(work.estimatedWork)) end
      pause(one.name .. " still runs")
      one = request(db, "GET", one.name).json
    end
    return one
  end

  local function with_waiting(more)
    more.within = { "duration", "how long it may take", default = "2h" }
    more.every = { "duration", "how often it is asked for at most", default = "5s" }
    more.progress = { "function", "ctx.progress" }
    return more
  end
  inner.with_waiting = with_waiting

  local function bucket_of(who, uri)
    if type(uri) ~= "string" or not uri:find "^gs://[^/]" then
      arguments.fail(who, 2, "uri", ("gs://bucket expected, got %s"):format(type(uri) == "string" and "'" .. uri .. "'" or type(uri)))
    end
    return (uri:gsub("/+$", ""))
  end

  local errors = { "firestore.operation", "firestore.timeout", "http.status", "http.connection", "http.timeout", "permission" }

  def "export" { of = Database,
    doc = "Exports the database, or some collections, into a folder of the bucket that is named after `operation`. Where an export to that folder runs already, or has ended well, it is that one: a second attempt starts nothing twice.",
    { "uri", "text", "gs://bucket" },
    { "options", with_waiting { operation = { "text", "best ctx.id: unique in a run", required = true }, collections = { "list", "ids of collections; all of them left out" } }, "what, and how long" },
    returns = { "table", "{uri, operation, documents, collections, started}; a mark for written_since" }, raises = errors, writes = true,
    example = [[local made = firestore.export(firestore.open { project = "shop" }, "gs://safety", { operation = "before" })]],
    run = function(db, uri, o)
      local bucket, folder = bucket_of("firestore.export", uri), folder_of(o.operation)
      local one = find_operation(db, to_folder(folder))
      if not one or one.done and one.error then
        one = request(db, "POST", db.root .. ":exportDocuments", { json = { outputUriPrefix = bucket .. "/" .. folder, collectionIds = o.collections } }).json
        if arguments.unknown(one) then return one end
      end
      return result_of(await(db, one, o))
    end }

  def "operation" { of = Database, doc = "For `observe` of a step that exports: what became of it, after waiting for its end.", { "id", "text", "the `operation` of the export" },
    { "options", with_waiting {}, "how long" }, returns = { "string", '"done" and the result as a second value, or "absent"' }, raises = errors, reads = true,
    example = [[local state = firestore.operation(firestore.open { project = "shop" }, "before")]],
    run = function(db, id, o)
      local one = find_operation(db, to_folder(folder_of(id)))
      if not one or one.done and one.error then return "absent" end
      return "done", result_of(await(db, one, o))
    end }

  -- The result of an export, of an address too: when it began and what it holds is known as long as Google keeps the operation.
  function inner.export_of(db, who, given)
    if type(given) == "table" and type(given.started) == "string" then return given end
    local uri = bucket_of(who, type(given) == "table" and given.uri or given)
    local one = find_operation(db, function(other) return other == uri end)
    if not one or not one.done or one.error then
      error { kind = "firestore.export", message = ("Firestore knows no finished export to %s: when it began is not known"):format(uri),
        hint = "give the result of db:export; operations are listed by: gcloud firestore operations list" }
    end
    return result_of(one)
  end

  local function import(db, uri, o)
    local one = request(db, "POST", db.root .. ":importDocuments", { json = { inputUriPrefix = uri, collectionIds = o.collections } }).json
    if arguments.unknown(one) then return one end
    return result_of(await(db, one, o))
  end

  -- Removes what was made after the export began: what it holds of that is written again by the import.
  local function remove_newer(db, export, o)
    local removed, writes = 0, json.array {}
    local function send()
      if #writes == 0 then return true end
      if arguments.unknown(inner.commit(db, writes)) then return false end
      removed, writes = removed + #writes, json.array {}
      return true
    end
    for _, collection in ipairs(o.collections or { "" }) do
      for one in inner.names(db, collection) do
        if inner.later(one.createTime, export.started) then
          writes[#writes + 1] = { delete = one.name, currentDocument = { updateTime = one.updateTime } }
          if #writes == 500 and not send() then return nil end
        end
      end
    end
    if not send() then return nil end
    return removed
  end

  -- What a migration noted about a collection counts no more once other data are in its place.
  local function forget(db, o)
    if o.collections then
      for _, name in ipairs(o.collections) do inner.commit(db, { { delete = inner.ledger_name(db, name) } }) end
      return
    end
    for one in inner.names(db, inner.ledger) do inner.commit(db, { { delete = one.name } }) end
  end

  def "import" { of = Database,
    doc = "Imports what an export holds: documents are written over, those that the export does not have stay. With delete_extra those that were made since are removed first, so that what is there afterwards is what was exported; only while nobody writes.",
    { "export", "any", "result of export, or gs://bucket/folder" },
    { "options", with_waiting { collections = { "list", "ids of collections; all of them left out" }, delete_extra = { "boolean", "remove documents made after the export began", default = false },
      each = { "function", "ctx.step: each part is a sub-step" } }, "what, and how long" },
    returns = { "table", "{operation, documents, removed}" }, raises = errors, writes = true,
    example = [[local db = firestore.open { project = "shop" }
firestore.import(db, "gs://safety/before", { collections = { "users" }, delete_extra = true })]],
    run = function(db, given, o)
      local uri = bucket_of("firestore.import", type(given) == "table" and given.uri or given)
      local export = o.delete_extra and inner.export_of(db, "firestore.import", given)
      local function part(name, fn)
        if o.each then return o.each(name, { run = fn, idempotent = true }) end
        return fn()
      end
      local removed = export and part("remove what is newer", function() return remove_newer(db, export, o) end)
      part("forget migrations", function() forget(db, o) end)
      local done = part("import", function() return import(db, uri, o) end)
      if not arguments.unknown(done) then done.removed = removed or nil end
      return done
    end }
end

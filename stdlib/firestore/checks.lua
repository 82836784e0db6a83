-- What is true of a Firestore database: who writes, what differs from an export, whether documents are as they should be, indexes, speed. Part of
-- `firestore`; nothing here writes, create_indexes aside.
local arguments = require "arguments"

return function(def, inner)
  local Database, request = inner.Database, inner.request
  local errors = { "http.status", "http.connection", "http.timeout", "permission" }

  local function with(list, more)
    local all = { more }
    for i, kind in ipairs(list) do all[i + 1] = kind end
    return all
  end

  -- Documents that were written after a moment: how many in all, by collection, and the first few.
  local function written(db, collections, since)
    local found = { rows = 0, tables = {}, first = json.array {} }
    for _, collection in ipairs(collections) do
      for one in inner.names(db, collection) do
        local path = inner.short(one.name)
        if path:sub(1, #inner.ledger + 1) ~= inner.ledger .. "/" and inner.later(one.updateTime, since) then
          local id = path:match "([^/]+)/[^/]+$"
          found.rows = found.rows + 1
          found.tables[id] = { written = (found.tables[id] and found.tables[id].written or 0) + 1 }
          if #found.first < 5 then found.first[#found.first + 1] = path end
        end
      end
    end
    return found
  end

  def "expect_quiet" { of = Database, doc = "Watches for a while, and raises firestore.busy where anybody writes or removes documents meanwhile.",
    { "options", { for_ = { "duration", "how long", default = "60s" }, collections = { "list", "ids of collections; all of them left out" } }, "how long" },
    returns = { "table", "{since, documents}" }, raises = with(errors, "firestore.busy"), reads = true,
    example = [[firestore.expect_quiet(firestore.open { project = "shop" }, { for_ = "60s" })]],
    run = function(db, o)
      local collections = o.collections or { "" }
      local function count()
        local sum = 0
        for _, collection in ipairs(collections) do sum = sum + inner.count(db, collection, true) end
        return sum
      end
      local _, since = inner.page(db, collections[1], nil, 1, true, true)
      local before = count()
      sleep(o.for_)
      local found, after = written(db, collections, since), count()
      if found.rows > 0 or after ~= before then
        local what = found.rows > 0 and ("%d documents were written (%s)"):format(found.rows, table.concat(found.first, ", ")) or ("there were %d documents, and now %d"):format(before, after)
        error { kind = "firestore.busy", message = ("it is not quiet: %s within %s"):format(what, time.text(o.for_)), hint = "find who still writes: jobs, functions, other regions" }
      end
      return { since = since, documents = after }
    end }

  local difference = values.type("firestore.difference", {
    sentence = function(d)
      if d.newer == 0 then return "no document is newer than the export" end
      return ("%d document%s newer than the export would be lost"):format(d.newer, d.newer == 1 and "" or "s")
    end })

  def "difference" { of = Database, doc = "The documents that were written since an export: what an import of it with delete_extra would lose. Removed documents are not among them.",
    { "export", "any", "result of export or mark, or gs://bucket/folder" }, { "collection", "text?", "id of a collection; all of them left out" },
    returns = { "table", "{newer, first, since}, with :sentence()" }, raises = with(errors, "firestore.export"), reads = true,
    example = [[local text = firestore.difference(firestore.open { project = "shop" }, "gs://safety/before", "users"):sentence()]],
    run = function(db, given, collection)
      local export = inner.export_of(db, "firestore.difference", given)
      local found = written(db, { collection or "" }, export.started)
      return difference { newer = found.rows, first = found.first, since = export.started }
    end }

  def "mark" { of = Database, doc = "This moment by the server's clock, for written_since and difference.",
    { "options", { collections = { "list", "ids of collections to look at then; all of them left out" } }, "what counts" },
    returns = { "table", "{started, collections}; plain data that a step may return" }, raises = errors, reads = true,
    example = [[local before = firestore.mark(firestore.open { project = "shop" }, { collections = { "users" } })]],
    run = function(db, o)
      local _, now = inner.page(db, o.collections and o.collections[1] or "", nil, 1, true, true)
      return { started = now, collections = o.collections }
    end }

  def "written_since" { of = Database, doc = "For `loses`: the documents that were written since an export began or since a mark, at least.",
    { "export", "any", "result of export or mark, or gs://bucket/folder" },
    returns = { "table", "{rows, tables = {collection = {written}}, nothing}; nothing is true only where it is certain" }, raises = with(errors, "firestore.export"), reads = true,
    example = [[local lost = firestore.written_since(firestore.open { project = "shop" }, "gs://safety/before")]],
    run = function(db, given)
      local export = inner.export_of(db, "firestore.written_since", given)
      local collections, now = export.collections and #export.collections > 0 and export.collections or { "" }, 0
      local found = written(db, collections, export.started)
      for _, collection in ipairs(collections) do now = now + inner.count(db, collection, true) end
      return { rows = found.rows, tables = found.tables, nothing = found.rows == 0 and now == export.documents }
    end }

  -- Names of the collections at the top; the notes of migrations are none.
  local function all_collections(db)
    local found, token = {}, nil
    repeat
      local answer = request(db, "POST", db.root .. "/documents:listCollectionIds", { reads = true, json = { pageSize = 300, pageToken = token } }).json
      for _, id in ipairs(answer.collectionIds or {}) do
        if id ~= inner.ledger then found[#found + 1] = id end
      end
      token = answer.nextPageToken
    until not token
    return found
  end

  -- One collection: every document is read and judged. The number that the server counts is asked for separately.
  local function validate(db, name, test, result)
    local seen = 0
    for path, fields in db:documents(name) do
      seen = seen + 1
      if test then
        local ok, fine, why = pcall(test, fields, name .. "/" .. path)
        if not ok or fine ~= true then
          result.errors = result.errors + 1
          if #result.problems < 20 then
            result.problems[#result.problems + 1] = ("%s/%s: %s"):format(name, path, tostring(not ok and fine or why or "is not valid"))
          end
        end
      end
    end
    local note = db:get(inner.ledger_path(name))
    if note and note.state ~= "done" then
      result.errors = result.errors + 1
      result.problems[#result.problems + 1] = ("%s: its migration ended at batch %d"):format(name, note.batch)
    end
    return seen, inner.count(db, name)
  end

  def "validate" { of = Database,
    doc = "Reads every document of collections and judges it. coverage is what was read of what the server counts; a migration that did not come to its end is an error too.",
    { "collections", "any?", "a name, or a list of names and of { name, valid = function(fields, path) }; all of them left out" },
    { "options", { valid = { "table", "name = function(fields, path) → true, or false and why" } }, "how documents are judged" },
    returns = { "table", "{documents, counted, coverage, errors, problems, collections}" }, raises = errors, reads = true,
    example = [[local checked = firestore.validate(firestore.open { project = "shop" }, "users", { valid = { users = function(fields) return fields.plan ~= nil, "has no plan" end } })]],
    run = function(db, collections, o)
      if type(collections) == "string" then collections = { collections } end
      collections = collections or all_collections(db)
      if type(collections) ~= "table" then arguments.fail("firestore.validate", 2, "collections", "name or list of names expected, got " .. type(collections)) end
      local result = { documents = 0, counted = 0, errors = 0, problems = json.array {}, collections = {} }
      for i, entry in ipairs(collections) do
        local name = type(entry) == "table" and entry[1] or entry
        if type(name) ~= "string" then arguments.fail("firestore.validate", 2, "collections", ("entry %d: name expected, got %s"):format(i, type(name))) end
        local seen, counted = validate(db, name, type(entry) == "table" and entry.valid or o.valid and o.valid[name], result)
        result.documents, result.counted = result.documents + seen, result.counted + counted
        result.collections[name] = { documents = seen, counted = counted }
        if seen ~= counted then
          result.errors = result.errors + 1
          result.problems[#result.problems + 1] = ("%s: %d documents were read, and the server counts %d"):format(name, seen, counted)
        end
      end
      result.coverage = result.counted == 0 and (result.documents == 0 and 1 or 0) or result.documents / result.counted
      return result
    end }

  -- "users: city ASCENDING, born DESCENDING"; the name of the document, which Firestore adds at the end, is left out.
  local function index_text(collection, scope, fields)
    local parts = {}
    for _, field in ipairs(fields) do
      if field.fieldPath ~= "__name__" then parts[#parts + 1] = field.fieldPath .. " " .. (field.order or field.arrayConfig or "VECTOR") end
    end
    return ("%s%s: %s"):format(collection, scope == "COLLECTION_GROUP" and " (group)" or "", table.concat(parts, ", "))
  end

  local function declared(file)
    local ok, content = pcall(json.decode, fs.read(file))
    if not ok or type(content) ~= "table" or type(content.indexes) ~= "table" then
      error { kind = "firestore.indexes", message = ("%s: a file of indexes expected, { \"indexes\": [ … ] }"):format(file), hint = "firebase firestore:indexes writes one" }
    end
    return content.indexes
  end

  local function missing(list, file)
    local ready, wanted = {}, {}
    for _, one in ipairs(list.ready) do ready[one] = true end
    for _, one in ipairs(declared(file)) do
      local text = index_text(one.collectionGroup, one.queryScope, one.fields)
      if not ready[text] then wanted[#wanted + 1] = { text = text, index = one } end
    end
    return wanted
  end

  local indexes = values.type("firestore.indexes", {
    missing = function(list, file)
      local texts = json.array {}
      for i, one in ipairs(missing(list, file)) do texts[i] = one.text end
      return texts
    end,
    has = function(list, file) return #missing(list, file) == 0 end })

  local function all_indexes(db)
    local found = { ready = json.array {}, building = json.array {}, broken = json.array {} }
    inner.pages(db, db.root .. "/collectionGroups/-/indexes?pageSize=100", function(page)
      for _, one in ipairs(page.indexes or {}) do
        local list = one.state == "READY" and found.ready or one.state == "CREATING" and found.building or found.broken
        list[#list + 1] = index_text(one.name:match "/collectionGroups/([^/]+)/indexes/", one.queryScope, one.fields)
      end
    end)
    return found
  end

  def "indexes" { of = Database, doc = "The composite indexes: ready, being built, broken.",
    returns = { "table", "{ready, building, broken} as texts, with :has(file) and :missing(file), for a firestore.indexes.json" }, raises = with(errors, "firestore.indexes"), reads = true,
    example = [[local complete = firestore.indexes(firestore.open { project = "shop" }):has "firestore.indexes.json"]],
    run = function(db) return indexes(all_indexes(db)) end }

  def "create_indexes" { of = Database, doc = "Creates the indexes of a file that are not there, and waits until they are built.", { "file", "text", "a firestore.indexes.json" },
    { "options", inner.with_waiting {}, "how long" }, returns = { "integer", "how many were created" }, raises = with(errors, "firestore.timeout"), writes = true,
    example = [[firestore.create_indexes(firestore.open { project = "shop" }, "firestore.indexes.json")]],
    run = function(db, file, o)
      local pause, wanted = inner.pauses(o), missing(all_indexes(db), file)
      for _, one in ipairs(wanted) do -- 409: it is being built already
        local answer = request(db, "POST", ("%s/collectionGroups/%s/indexes"):format(db.root, one.index.collectionGroup),
          { status = { 200, 409 }, json = { queryScope = one.index.queryScope or "COLLECTION", fields = one.index.fields } })
        if arguments.unknown(answer) then return answer end
      end
      while #wanted > 0 do
        local left = missing(all_indexes(db), file)
        if #left == 0 then break end
        if o.progress then o.progress(#wanted - #left, #wanted) end
        pause(("the index %s is not ready"):format(left[1].text))
      end
      return #wanted
    end }

  local operators = { ["=="] = "EQUAL", ["!="] = "NOT_EQUAL", ["<"] = "LESS_THAN", ["<="] = "LESS_THAN_OR_EQUAL", [">"] = "GREATER_THAN", [">="] = "GREATER_THAN_OR_EQUAL",
    ["in"] = "IN", contains = "ARRAY_CONTAINS" }

  local function structured(who, i, one)
    local function wrong(why) arguments.fail(who, 2, "queries", ("entry %d: %s"):format(i, why)) end
    if type(one) ~= "table" or type(one[1]) ~= "string" then wrong "{ collection, where = {…}, order_by =, limit =, below = } expected" end
    for key in pairs(one) do
      if not ({ true, where = true, order_by = true, limit = true, below = true, name = true })[key] then wrong(("unknown option '%s'"):format(tostring(key))) end
    end
    local filters = json.array {}
    for _, condition in ipairs(one.where or {}) do
      local op = type(condition) == "table" and operators[condition[2]]
      if not op then wrong '{ "field", "==", value } expected in where' end
      filters[#filters + 1] = { fieldFilter = { field = { fieldPath = condition[1] }, op = op, value = inner.to_fields({ v = condition[3] }, "").v } }
    end
    return { limit = one.limit or 50, where = #filters > 0 and { compositeFilter = { op = "AND", filters = filters } } or nil,
      orderBy = one.order_by and { { field = { fieldPath = one.order_by } } } or nil }
  end

  def "benchmark" { of = Database, doc = "Runs queries and measures how long each takes, as this host sees it.",
    { "queries", "any", 'a list of { collection, where = { { "city", "==", "Bern" } }, order_by =, limit =, below = "200ms", name = }, or a Lua file beside the playbook that returns one' },
    { "options", { times = { "integer", "how often each is run", default = 10 } }, "how" },
    returns = { "table", "{over_target, queries = {{name, p50, p95, below}}}: seconds; over_target counts those whose p95 is not below their target" }, raises = errors, reads = true,
    example = [[local speed = firestore.benchmark(firestore.open { project = "shop" }, { { "users", where = { { "city", "==", "Bern" } }, below = "200ms" } })]],
    run = function(db, queries, o)
      if type(queries) == "string" then queries = require((queries:gsub("%.lua$", ""):gsub("/", "."))) end
      if type(queries) ~= "table" or #queries == 0 then arguments.fail("firestore.benchmark", 2, "queries", "list of queries expected") end
      if o.times < 1 then arguments.fail("firestore.benchmark", 3, "options", "option 'times': at least 1 expected, got " .. o.times) end
      local result = { over_target = 0, queries = json.array {} }
      for i, one in ipairs(queries) do
        local query, took = structured("firestore.benchmark", i, one), {}
        local below = one.below and time.duration(one.below)
        for turn = 1, o.times do
          local began = time.now()
          inner.query(db, one[1], query)
          took[turn] = time.since(began)
        end
        table.sort(took)
        local p95 = took[math.ceil(o.times * 0.95)]
        result.queries[i] = { name = one.name or one[1], p50 = took[math.ceil(o.times * 0.5)], p95 = p95, below = below }
        if below and p95 >= below then result.over_target = result.over_target + 1 end
      end
      return result
    end }
end

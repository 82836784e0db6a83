-- Firestore, through its REST API (https://firebase.google.com/docs/firestore/reference/rest).
--   local firestore = require "firestore"
--   local db = firestore.open { project = p.project, token = p.token }       -- an access token; none for the emulator
--   db:set("_config/maintenance", { enabled = true })
-- needs.http: "firestore.googleapis.com". Whole numbers are integers, others doubles; timestamps and decimals keep their kind. A double that is
-- whole comes back as an integer: `update` changes only the fields that it names.
local arguments = require "arguments"
local M = {}
local Database = {}
Database.__index = Database

-- Options: project (required), database ("(default)"), token (a secret), api (for the emulator: http://host:port/v1).
function M.open(options)
  local o = arguments.options("firestore.open", 1, options, { project = { "string" }, database = { "string", "(default)" }, token = { "any" },
    api = { "string", "https://firestore.googleapis.com/v1" } })
  if not o.project then arguments.fail("firestore.open", 1, "options", "option 'project' is required") end
  o.root = ("projects/%s/databases/%s"):format(o.project, o.database)
  return setmetatable(o, Database)
end

local function encoded(text)
  return (text:gsub("[^%w._~/()-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function request(db, method, path, options)
  options = options or {}
  if db.token then options.headers = { Authorization = template.render("Bearer {token}", { token = db.token }) } end
  if method == "GET" then options.retry = { attempts = 4 } end
  return http.request(method, db.api .. "/" .. path, options)
end

-- "users/anna" has an even number of parts, a collection an odd one.
local function document(who, path)
  arguments.text(who, 1, "path", path)
  local parts = 0
  for part in (path .. "/"):gmatch "([^/]*)/" do
    if part == "" or part == "." or part == ".." then arguments.fail(who, 1, "path", ("'%s' has an empty part"):format(path)) end
    parts = parts + 1
  end
  if parts % 2 ~= 0 then arguments.fail(who, 1, "path", ("'%s' is a collection; a document is collection/name"):format(path)) end
  return path
end

-- --- values --------------------------------------------------------------------------------------------------------------------------

local to_fields

local function to_value(value, where)
  local kind = type(value)
  if value == null then return { nullValue = null } end
  if kind == "boolean" then return { booleanValue = value } end
  if kind == "string" then return { stringValue = value } end
  if kind == "number" then
    if value % 1 == 0 and math.abs(value) <= 2 ^ 53 then return { integerValue = ("%.0f"):format(value) } end
    return { doubleValue = value }
  end
  if kind == "table" then
    if json.encode(value):sub(1, 1) == "[" then
      local list = json.array {}
      for i, item in ipairs(value) do list[i] = to_value(item, ("%s[%d]"):format(where, i)) end
      return { arrayValue = { values = list } }
    end
    return { mapValue = { fields = to_fields(value, where) } }
  end
  local ok, iso = pcall(time.iso, value)
  if ok then return { timestampValue = iso } end
  local text = tostring(value)
  if text:find "^%-?%d+$" then return { integerValue = text } end
  error { kind = "argument", message = ("field '%s': Firestore has no %s"):format(where, kind) }
end

function to_fields(table_, where)
  local fields = {}
  for name, value in pairs(table_) do fields[name] = to_value(value, where == "" and name or where .. "." .. name) end
  return fields
end

local from_fields

local function from_value(value)
  local kind, inner = next(value)
  if kind == "integerValue" then return json.decode(tostring(inner)) end
  if kind == "timestampValue" then return time.parse(inner) end
  if kind == "arrayValue" then
    local list = json.array {}
    for i, item in ipairs(inner.values or {}) do list[i] = from_value(item) end
    return list
  end
  if kind == "mapValue" then return from_fields(inner.fields or {}) end
  return inner -- null, boolean, double, text; bytes in base64, references and places as the API shows them
end

function from_fields(fields)
  local result = {}
  for name, value in pairs(fields) do result[name] = from_value(value) end
  return result
end

-- --- documents -----------------------------------------------------------------------------------------------------------------------

-- The fields of a document, and the time of its last change (text, for `unchanged_since`); nil where there is none.
function Database:get(path)
  local answer = request(self, "GET", self.root .. "/documents/" .. encoded(document("db:get", path)), { status = { 200, 404 } })
  if answer.status == 404 then return nil end
  return from_fields(answer.json.fields or {}), answer.json.updateTime
end

local conditions = { exists = { "boolean" }, unchanged_since = { "string" } }

local function condition(who, options)
  local o = arguments.options(who, 3, options, conditions)
  if o.exists ~= nil and o.unchanged_since then arguments.fail(who, 3, "options", "one of 'exists' and 'unchanged_since' expected") end
  if o.exists ~= nil then return { exists = o.exists } end
  return o.unchanged_since and { updateTime = o.unchanged_since } or nil
end

local function name_of(db, path) return db.root .. "/documents/" .. path end

-- Sends writes as one commit: all of them or none. A precondition that does not hold is firestore.changed.
local function commit(db, writes)
  local answer = request(db, "POST", db.root .. "/documents:commit", { json = { writes = writes }, any_status = true })
  if arguments.unknown(answer) then return end
  if answer.status >= 200 and answer.status <= 299 then return end
  local problem = type(answer.json) == "table" and answer.json.error or {}
  local state = problem.status or tostring(answer.status)
  local kinds = { FAILED_PRECONDITION = "firestore.changed", ALREADY_EXISTS = "firestore.changed", NOT_FOUND = "firestore.changed", ABORTED = "firestore.conflict" }
  error { kind = kinds[state] or "http.status", message = ("Firestore refused the write: %s: %s"):format(state, problem.message or "no reason given") }
end

-- Puts a document in the place of what is there. Options: exists (true: only where there is one, false: only where there is none), unchanged_since
-- (what get said).
function Database:set(path, fields, options)
  document("db:set", path)
  if type(fields) ~= "table" then arguments.fail("db:set", 2, "fields", "table expected, got " .. type(fields)) end
  commit(self, { { update = { name = name_of(self, path), fields = to_fields(fields, "") }, currentDocument = condition("db:set", options) } })
end

-- Changes the named fields and leaves the others. Options as for set.
function Database:update(path, fields, options)
  document("db:update", path)
  if type(fields) ~= "table" then arguments.fail("db:update", 2, "fields", "table expected, got " .. type(fields)) end
  local mask = json.array {}
  for name in pairs(fields) do mask[#mask + 1] = name:find "^[%a_][%w_]*$" and name or "`" .. name:gsub("[\\`]", "\\%0") .. "`" end
  table.sort(mask)
  commit(self, { { update = { name = name_of(self, path), fields = to_fields(fields, "") }, updateMask = { fieldPaths = mask },
    currentDocument = condition("db:update", options) } })
end

-- Removes a document. Options as for set.
function Database:delete(path, options)
  document("db:delete", path)
  commit(self, { { delete = name_of(self, path), currentDocument = condition("db:delete", options) } })
end

-- Sets many documents: a list of { path, fields } (fields nil: removed), `batch` (500) at a time. With `each = ctx.step` every batch is a sub-step: one
-- that was interrupted is sent again, which changes nothing, because each document is put there as a whole. Returns how many.
function Database:set_all(entries, options)
  if type(entries) ~= "table" then arguments.fail("db:set_all", 1, "entries", "list expected, got " .. type(entries)) end
  local o = arguments.options("db:set_all", 2, options, { batch = { "number", 500 }, each = { "function" } })
  if o.batch < 1 or o.batch > 500 or o.batch % 1 ~= 0 then arguments.fail("db:set_all", 2, "options", "option 'batch': 1 to 500 expected, got " .. tostring(o.batch)) end
  for first = 1, #entries, o.batch do
    local function send()
      local writes = json.array {}
      for i = first, math.min(first + o.batch - 1, #entries) do
        local path, fields = document("db:set_all", entries[i][1]), entries[i][2]
        writes[#writes + 1] = fields == nil and { delete = name_of(self, path) } or { update = { name = name_of(self, path), fields = to_fields(fields, "") } }
      end
      commit(self, writes)
    end
    if o.each then o.each(("documents %d to %d"):format(first, math.min(first + o.batch - 1, #entries)), { run = send, idempotent = true }) else send() end
  end
  return #entries
end

-- Iterates over the documents of a collection: for name, fields, changed in db:documents "users" do … end
function Database:documents(collection, options)
  arguments.text("db:documents", 1, "collection", collection)
  local o = arguments.options("db:documents", 2, options, { page = { "number", 300 } })
  local page, at, token = {}, 0, nil
  local started = false
  return function()
    at = at + 1
    while at > #page do
      if started and not token then return nil end
      local answer = request(self, "GET", ("%s/documents/%s?pageSize=%d%s"):format(self.root, encoded(collection), o.page, token and "&pageToken=" .. encoded(token):gsub("/", "%%2F") or "")).json
      started, page, at, token = true, answer.documents or {}, 1, answer.nextPageToken
    end
    local one = page[at]
    return one.name:match "[^/]+$", from_fields(one.fields or {}), one.updateTime
  end
end

-- --- exports -------------------------------------------------------------------------------------------------------------------------

local function folder_of(id) return (id:gsub("[^%w.-]", "_")) end

-- The newest operation of this database whose export goes to a folder of that name, or nil.
local function find_operation(db, folder)
  local token
  repeat
    local answer = request(db, "GET", ("%s/operations?pageSize=100%s"):format(db.root, token and "&pageToken=" .. encoded(token):gsub("/", "%%2F") or "")).json
    for _, one in ipairs(answer.operations or {}) do
      local uri = one.metadata and one.metadata.outputUriPrefix
      if uri and uri:sub(-#folder - 1) == "/" .. folder then return one end
    end
    token = answer.nextPageToken
  until not token
  return nil
end

local function result_of(one)
  if one.error then error { kind = "firestore.operation", message = ("%s failed: %s"):format(one.name, one.error.message or "no reason given") } end
  local done = (one.metadata.progressDocuments or {}).completedWork
  return { operation = one.name, uri = one.response and one.response.outputUriPrefix, documents = done and json.decode(tostring(done)) or nil }
end

-- Waits for a long operation to end and returns what became of it.
local function await(db, one, o)
  local began = time.now()
  while not one.done do
    if time.since(began) > o.within then error { kind = "firestore.timeout", message = ("%s still runs after %s"):format(one.name, time.text(o.within)) } end
    local work = one.metadata and one.metadata.progressDocuments
    if o.progress and work and work.completedWork then o.progress(tonumber(work.completedWork), tonumber(work.estimatedWork)) end
    sleep(o.every)
    one = request(db, "GET", one.name).json
  end
  return result_of(one)
end

local waiting = { within = { "duration", "2h" }, every = { "duration", "5s" }, progress = { "any" } }

local function with_waiting(more)
  for name, wanted in pairs(waiting) do more[name] = wanted end
  return more
end

local function bucket_of(who, uri)
  arguments.text(who, 1, "uri", uri)
  if not uri:find "^gs://[^/]" then arguments.fail(who, 1, "uri", ("gs://bucket expected, got '%s'"):format(uri)) end
  return (uri:gsub("/+$", ""))
end

-- Exports the database, or some collections, into a folder of the bucket that is named after `operation` (best ctx.id: unique in a run). Where an
-- export to that folder runs already, or has ended well, it is that one: a second attempt starts nothing twice. Returns { uri, operation, documents }.
-- Options: operation (required), collections (a list), within ("2h"), every ("5s"), progress (ctx.progress).
function Database:export(bucket, options)
  bucket = bucket_of("db:export", bucket)
  local o = arguments.options("db:export", 2, options, with_waiting { operation = { "string" }, collections = { "table" } })
  if not o.operation then arguments.fail("db:export", 2, "options", "option 'operation' is required") end
  local folder = folder_of(o.operation)
  local one = find_operation(self, folder)
  if not one or one.done and one.error then
    one = request(self, "POST", self.root .. ":exportDocuments", { json = { outputUriPrefix = bucket .. "/" .. folder, collectionIds = o.collections } }).json
    if arguments.unknown(one) then return one end
  end
  return await(self, one, o)
end

-- For `observe` of a step that exports: "done" and the result, "absent", or, where it still runs, "partial" after it was waited for in vain.
function Database:operation(id, options)
  arguments.text("db:operation", 1, "id", id)
  local o = arguments.options("db:operation", 2, options, with_waiting {})
  local one = find_operation(self, folder_of(id))
  if not one or one.done and one.error then return "absent" end
  return "done", await(self, one, o)
end

-- Imports what an export holds (its result, or gs://bucket/folder): documents are written over, those that the export does not have stay. Options:
-- collections, within, every, progress.
function Database:import(export, options)
  local uri = bucket_of("db:import", type(export) == "table" and export.uri or export)
  local o = arguments.options("db:import", 2, options, with_waiting { collections = { "table" } })
  local one = request(self, "POST", self.root .. ":importDocuments", { json = { inputUriPrefix = uri, collectionIds = o.collections } }).json
  if arguments.unknown(one) then return one end
  return await(self, one, o)
end

return M

-- Firestore, through its REST API (https://firebase.google.com/docs/firestore/reference/rest).
--   local firestore = require "firestore"
--   local db = firestore.open { project = p.project, token = p.token }       -- an access token; none for the emulator
--   db:set("_config/maintenance", { enabled = true })
-- Whole numbers are integers, others doubles; timestamps and decimals keep their kind. A double that is whole comes back as an integer:
-- `update` and `migrate` change only the fields that differ. Values: firestore.values. Migrating and validating: firestore.migration, firestore.checks.
local arguments, declare, codec = require "arguments", require "declare", require "firestore.values"
local M, def = declare.module("firestore", "Firestore: documents, exports, migrations by collection.", 'needs = { http = { "firestore.googleapis.com" } }')
local Database = def.type("database", "A Firestore database, from firestore.open; each function of this module with a database first is its method.")
local inner = { Database = Database, to_fields = codec.to_fields, from_fields = codec.from_fields } -- what the other files of this module use

def "open" { doc = "A database. Nothing is asked before the first use.",
  { "options", { project = { "text", "Google Cloud project", required = true }, database = { "text", "its name", default = "(default)" },
    token = { "secret", "an access token; none for the emulator" }, api = { "text", "for the emulator: http://host:port/v1", default = "https://firestore.googleapis.com/v1" } }, "which one" },
  returns = { "firestore.database", "with the functions of this module as methods" }, raises = { "argument" },
  example = [[local db = firestore.open { project = "shop" }]],
  run = function(o)
    o.root = ("projects/%s/databases/%s"):format(o.project, o.database)
    return setmetatable(o, Database)
  end }

local function encoded(text)
  return (text:gsub("[^%w._~/()-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- A request; what only looks is repeated after 429, 5xx and lost connections. Reads by POST say so.
function inner.request(db, method, path, options)
  options = options or {}
  if db.token then options.headers = { Authorization = template.render("Bearer {token}", { token = db.token }) } end
  if method == "GET" then options.retry = { attempts = 4 } end
  if options.reads then options.retry = { attempts = 4, unsafe = true } end
  return http.request(method, db.api .. "/" .. path, options)
end
local request = inner.request

-- The same question for the page that `token` names; the first one where there is none.
local function page_of(path, token) return path .. (token and "&pageToken=" .. encoded(token):gsub("/", "%%2F") or "") end

-- The path of a document from its full name.
function inner.short(name) return (name:gsub("^.-/documents/", "")) end

-- Asks with a page token until there is none; calls fn with each page.
function inner.pages(db, path, fn)
  local token
  repeat
    local page = request(db, "GET", page_of(path, token)).json
    if fn(page) == false then return end
    token = page.nextPageToken
  until not token
end

local function check_path(who, path, parity, what)
  local parts = 0
  for part in (path .. "/"):gmatch "([^/]*)/" do
    if part == "" or part == "." or part == ".." then arguments.fail(who, 2, "path", ("'%s' has an empty part"):format(path)) end
    parts = parts + 1
  end
  if parts % 2 ~= parity then arguments.fail(who, 2, "path", what:format(path)) end
  return path
end

-- "users/anna" has an even number of parts, a collection an odd one.
local function document(who, path) return check_path(who, path, 0, "'%s' is a collection; a document is collection/name") end

-- --- documents -----------------------------------------------------------------------------------------------------------------------

def "get" { of = Database, doc = "The fields of a document; nil where there is none.", { "path", "text", "collection/name" },
  returns = { "table?", "its fields; as a second value the time of its last change, text, for `unchanged_since`" }, raises = { "http.status", "http.connection", "http.timeout", "permission" }, reads = true,
  example = [[local fields, changed = firestore.get(firestore.open { project = "shop" }, "users/anna")]],
  run = function(db, path)
    local answer = request(db, "GET", db.root .. "/documents/" .. encoded(document("firestore.get", path)), { status = { 200, 404 } })
    if answer.status == 404 then return nil end
    return codec.from_fields(answer.json.fields or {}), answer.json.updateTime
  end }

local conditions = { exists = { "boolean", "true: only where there is one, false: only where there is none" }, unchanged_since = { "text", "what get said" } }
local commit_errors = { "firestore.changed", "firestore.conflict", "http.status", "http.connection", "http.timeout", "permission" }

local function condition(who, number, o)
  if o.exists ~= nil and o.unchanged_since then arguments.fail(who, number, "options", "one of 'exists' and 'unchanged_since' expected") end
  if o.exists ~= nil then return { exists = o.exists } end
  return o.unchanged_since and { updateTime = o.unchanged_since } or nil
end

function inner.name_of(db, path) return db.root .. "/documents/" .. path end
local name_of = inner.name_of

-- Sends writes as one commit: all of them or none. A precondition that does not hold is firestore.changed. Returns the unknown value of a dry run.
function inner.commit(db, writes)
  local answer = request(db, "POST", db.root .. "/documents:commit", { json = { writes = writes }, any_status = true })
  if arguments.unknown(answer) then return answer end
  if answer.status >= 200 and answer.status <= 299 then return end
  local problem = type(answer.json) == "table" and answer.json.error or {}
  local state = problem.status or tostring(answer.status)
  local kinds = { FAILED_PRECONDITION = "firestore.changed", ALREADY_EXISTS = "firestore.changed", NOT_FOUND = "firestore.changed", ABORTED = "firestore.conflict" }
  error { kind = kinds[state] or "http.status", message = ("Firestore refused the write: %s: %s"):format(state, problem.message or "no reason given") }
end
local commit = inner.commit

-- A write of some fields; those that are not among them are left, and those that are nil are removed.
function inner.masked(db, path, fields, names, before)
  local mask = json.array {}
  for i, name in ipairs(names) do mask[i] = name:find "^[%a_][%w_]*$" and name or "`" .. name:gsub("[\\`]", "\\%0") .. "`" end
  table.sort(mask)
  return { update = { name = name_of(db, path), fields = codec.to_fields(fields, "") }, updateMask = { fieldPaths = mask }, currentDocument = before }
end

def "set" { of = Database, doc = "Puts a document in the place of what is there.", { "path", "text", "collection/name" }, { "fields", "table", "all of its fields" },
  { "options", conditions, "preconditions" }, raises = commit_errors, writes = true,
  example = [[firestore.set(firestore.open { project = "shop" }, "_config/maintenance", { enabled = true })]],
  run = function(db, path, fields, o)
    document("firestore.set", path)
    commit(db, { { update = { name = name_of(db, path), fields = codec.to_fields(fields, "") }, currentDocument = condition("firestore.set", 4, o) } })
  end }

def "update" { of = Database, doc = "Changes the named fields of a document and leaves the others.", { "path", "text", "collection/name" }, { "fields", "table", "the fields to change" },
  { "options", conditions, "preconditions" }, raises = commit_errors, writes = true,
  example = [[firestore.update(firestore.open { project = "shop" }, "users/anna", { plan = "gold" }, { exists = true })]],
  run = function(db, path, fields, o)
    document("firestore.update", path)
    local names = {}
    for name in pairs(fields) do names[#names + 1] = name end
    commit(db, { inner.masked(db, path, fields, names, condition("firestore.update", 4, o)) })
  end }

def "delete" { of = Database, doc = "Removes a document.", { "path", "text", "collection/name" }, { "options", conditions, "preconditions" }, raises = commit_errors, writes = true,
  example = [[firestore.delete(firestore.open { project = "shop" }, "users/anna")]],
  run = function(db, path, o)
    document("firestore.delete", path)
    commit(db, { { delete = name_of(db, path), currentDocument = condition("firestore.delete", 3, o) } })
  end }

function inner.check_batch(who, number, size)
  if size < 2 or size > 500 then arguments.fail(who, number, "options", "option 'batch': 2 to 500 expected, got " .. tostring(size)) end
end

def "set_all" { of = Database, doc = "Puts many documents, in batches. One that was interrupted is sent again, which changes nothing, because each document is put there as a whole.",
  { "entries", "list", "{ path, fields }, or { path } for one to remove" },
  { "options", { batch = { "integer", "writes in a commit", default = 500 }, each = { "function", "ctx.step: every batch is a sub-step" } }, "how" },
  returns = { "integer", "how many" }, raises = commit_errors, writes = true,
  example = [[firestore.set_all(firestore.open { project = "shop" }, { { "users/anna", { plan = "gold" } }, { "users/bob" } })]],
  run = function(db, entries, o)
    inner.check_batch("firestore.set_all", 3, o.batch)
    for first = 1, #entries, o.batch do
      local last = math.min(first + o.batch - 1, #entries)
      local function send()
        local writes = json.array {}
        for i = first, last do
          local path, fields = document("firestore.set_all", entries[i][1]), entries[i][2]
          writes[#writes + 1] = fields == nil and { delete = name_of(db, path) } or { update = { name = name_of(db, path), fields = codec.to_fields(fields, "") } }
        end
        commit(db, writes)
      end
      if o.each then o.each(("documents %d to %d"):format(first, last), { run = send, idempotent = true }) else send() end
    end
    return #entries
  end }

def "documents" { of = Database, doc = "Iterates over the documents of a collection: for name, fields, changed in db:documents \"users\" do … end", { "collection", "text", "its path" },
  { "options", { page = { "integer", "documents in a request", default = 300 } }, "how" }, returns = { "function", "an iterator" }, raises = { "http.status", "http.connection", "http.timeout", "permission" }, reads = true,
  example = [[for name, fields in firestore.documents(firestore.open { project = "shop" }, "users") do log.info(name) end]],
  run = function(db, collection, o)
    check_path("firestore.documents", collection, 1, "'%s' is a document; a collection has an odd number of parts")
    local page, at, token, started = {}, 0, nil, false
    return function()
      at = at + 1
      while at > #page do
        if started and not token then return nil end
        local answer = request(db, "GET", page_of(("%s/documents/%s?pageSize=%d"):format(db.root, encoded(collection), o.page), token)).json
        started, page, at, token = true, answer.documents or {}, 1, answer.nextPageToken
      end
      local one = page[at]
      return one.name:match "[^/]+$", codec.from_fields(one.fields or {}), one.updateTime
    end
  end }

inner.check_path, inner.encoded = check_path, encoded
require "firestore.export" (def, inner)
require "firestore.migration" (def, inner)
require "firestore.checks" (def, inner)

return M

---@meta firestore
-- Generated from the declarations in stdlib/.

---Firestore: documents, exports, migrations by collection. In a playbook: `local firestore = require "firestore"`, and `needs = { http = { "firestore.googleapis.com" } }`.
---@class firestorelib
local firestore = {}

---A Firestore database, from firestore.open; each function of this module with a database first is its method.
---@class firestore.database
---@field get function The fields of a document; nil where there is none.
---@field set function Puts a document in the place of what is there.
---@field update function Changes the named fields of a document and leaves the others.
---@field delete function Removes a document.
---@field set_all function Puts many documents, in batches. One that was interrupted is sent again, which changes nothing, because each document is put there as a whole.
---@field documents function Iterates over the documents of a collection: for name, fields, changed in db:documents "users" do … end
---@field export function Exports the database, or some collections, into a folder of the bucket that is named after `operation`. Where an export to that folder runs already, or has ended well, it is that one: a second attempt starts nothing twice.
---@field operation function For `observe` of a step that exports: what became of it, after waiting for its end.
---@field import function Imports what an export holds: documents are written over, those that the export does not have stay. With delete_extra those that were made since are removed first, so that what is there afterwards is what was exported; only while nobody writes.
---@field migrate function Changes every document of a collection by a function, in batches, each with its note in one commit: after a crash it goes on behind the last one, and no document is changed twice.
---@field migration_state function For `observe` of a step that migrates: what the note about a collection says.
---@field expect_quiet function Watches for a while, and raises firestore.busy where anybody writes or removes documents meanwhile.
---@field difference function The documents that were written since an export: what an import of it with delete_extra would lose. Removed documents are not among them.
---@field mark function This moment by the server's clock, for written_since and difference.
---@field written_since function For `loses`: the documents that were written since an export began or since a mark, at least.
---@field validate function Reads every document of collections and judges it. coverage is what was read of what the server counts; a migration that did not come to its end is an error too.
---@field indexes function The composite indexes: ready, being built, broken.
---@field create_indexes function Creates the indexes of a file that are not there, and waits until they are built.
---@field benchmark function Runs queries and measures how long each takes, as this host sees it.

---@class firestore.open.options
---@field api? string for the emulator: http://host:port/v1 (https://firestore.googleapis.com/v1)
---@field database? string its name ((default))
---@field project string Google Cloud project
---@field token? string|secret an access token; none for the emulator

---A database. Nothing is asked before the first use.
---@param options firestore.open.options which one
---@return firestore.database with the functions of this module as methods
function firestore.open(options) end

---The fields of a document; nil where there is none.
---@param database firestore.database what it is about
---@param path string collection/name
---@return table? its fields; as a second value the time of its last change, text, for `unchanged_since`
function firestore.get(database, path) end

---@class firestore.set.options
---@field exists? boolean true: only where there is one, false: only where there is none
---@field unchanged_since? string what get said

---Puts a document in the place of what is there.
---@param database firestore.database what it is about
---@param path string collection/name
---@param fields table all of its fields
---@param options? firestore.set.options preconditions
function firestore.set(database, path, fields, options) end

---@class firestore.update.options
---@field exists? boolean true: only where there is one, false: only where there is none
---@field unchanged_since? string what get said

---Changes the named fields of a document and leaves the others.
---@param database firestore.database what it is about
---@param path string collection/name
---@param fields table the fields to change
---@param options? firestore.update.options preconditions
function firestore.update(database, path, fields, options) end

---@class firestore.delete.options
---@field exists? boolean true: only where there is one, false: only where there is none
---@field unchanged_since? string what get said

---Removes a document.
---@param database firestore.database what it is about
---@param path string collection/name
---@param options? firestore.delete.options preconditions
function firestore.delete(database, path, options) end

---@class firestore.set_all.options
---@field batch? integer writes in a commit (500)
---@field each? function ctx.step: every batch is a sub-step

---Puts many documents, in batches. One that was interrupted is sent again, which changes nothing, because each document is put there as a whole.
---@param database firestore.database what it is about
---@param entries any[] { path, fields }, or { path } for one to remove
---@param options? firestore.set_all.options how
---@return integer how many
function firestore.set_all(database, entries, options) end

---@class firestore.documents.options
---@field page? integer documents in a request (300)

---Iterates over the documents of a collection: for name, fields, changed in db:documents "users" do … end
---@param database firestore.database what it is about
---@param collection string its path
---@param options? firestore.documents.options how
---@return function an iterator
function firestore.documents(database, collection, options) end

---@class firestore.export.options
---@field collections? any[] ids of collections; all of them left out
---@field every? string|number how often it is asked for at most (5s)
---@field operation string best ctx.id: unique in a run
---@field progress? function ctx.progress
---@field within? string|number how long it may take (2h)

---Exports the database, or some collections, into a folder of the bucket that is named after `operation`. Where an export to that folder runs already, or has ended well, it is that one: a second attempt starts nothing twice.
---@param database firestore.database what it is about
---@param uri string gs://bucket
---@param options firestore.export.options what, and how long
---@return table {uri, operation, documents, collections, started}; a mark for written_since
function firestore.export(database, uri, options) end

---@class firestore.operation.options
---@field every? string|number how often it is asked for at most (5s)
---@field progress? function ctx.progress
---@field within? string|number how long it may take (2h)

---For `observe` of a step that exports: what became of it, after waiting for its end.
---@param database firestore.database what it is about
---@param id string the `operation` of the export
---@param options? firestore.operation.options how long
---@return string "done" and the result as a second value, or "absent"
function firestore.operation(database, id, options) end

---@class firestore.import.options
---@field collections? any[] ids of collections; all of them left out
---@field delete_extra? boolean remove documents made after the export began (false)
---@field each? function ctx.step: each part is a sub-step
---@field every? string|number how often it is asked for at most (5s)
---@field progress? function ctx.progress
---@field within? string|number how long it may take (2h)

---Imports what an export holds: documents are written over, those that the export does not have stay. With delete_extra those that were made since are removed first, so that what is there afterwards is what was exported; only while nobody writes.
---@param database firestore.database what it is about
---@param export any result of export, or gs://bucket/folder
---@param options? firestore.import.options what, and how long
---@return table {operation, documents, removed}
function firestore.import(database, export, options) end

---@class firestore.migrate.options
---@field batch? integer writes in a commit (500)
---@field each? function ctx.step: every batch is a sub-step
---@field progress? function ctx.progress
---@field transform function (fields, path) → the new fields, or nil to leave the document
---@field validate? boolean read each batch back and compare (false)
---@field version? string of the migration; another one begins anew (1)

---Changes every document of a collection by a function, in batches, each with its note in one commit: after a crash it goes on behind the last one, and no document is changed twice.
---@param database firestore.database what it is about
---@param collection string its path
---@param options firestore.migrate.options what becomes of a document
---@return table {documents, changed, batches}
function firestore.migrate(database, collection, options) end

---@class firestore.migration_state.options
---@field version? string of the migration (1)

---For `observe` of a step that migrates: what the note about a collection says.
---@param database firestore.database what it is about
---@param collection string its path
---@param options? firestore.migration_state.options which one
---@return string "done", "partial" or "absent"; as a second value {documents, changed, batch}
function firestore.migration_state(database, collection, options) end

---@class firestore.expect_quiet.options
---@field collections? any[] ids of collections; all of them left out
---@field for_? string|number how long (60s)

---Watches for a while, and raises firestore.busy where anybody writes or removes documents meanwhile.
---@param database firestore.database what it is about
---@param options? firestore.expect_quiet.options how long
---@return table {since, documents}
function firestore.expect_quiet(database, options) end

---The documents that were written since an export: what an import of it with delete_extra would lose. Removed documents are not among them.
---@param database firestore.database what it is about
---@param export any result of export or mark, or gs://bucket/folder
---@param collection? string id of a collection; all of them left out
---@return table {newer, first, since}, with :sentence()
function firestore.difference(database, export, collection) end

---@class firestore.mark.options
---@field collections? any[] ids of collections to look at then; all of them left out

---This moment by the server's clock, for written_since and difference.
---@param database firestore.database what it is about
---@param options? firestore.mark.options what counts
---@return table {started, collections}; plain data that a step may return
function firestore.mark(database, options) end

---For `loses`: the documents that were written since an export began or since a mark, at least.
---@param database firestore.database what it is about
---@param export any result of export or mark, or gs://bucket/folder
---@return table {rows, tables = {collection = {written}}, nothing}; nothing is true only where it is certain
function firestore.written_since(database, export) end

---@class firestore.validate.options
---@field valid? table name = function(fields, path) → true, or false and why

---Reads every document of collections and judges it. coverage is what was read of what the server counts; a migration that did not come to its end is an error too.
---@param database firestore.database what it is about
---@param collections? any a name, or a list of names and of { name, valid = function(fields, path) }; all of them left out
---@param options? firestore.validate.options how documents are judged
---@return table {documents, counted, coverage, errors, problems, collections}
function firestore.validate(database, collections, options) end

---The composite indexes: ready, being built, broken.
---@param database firestore.database what it is about
---@return table {ready, building, broken} as texts, with :has(file) and :missing(file), for a firestore.indexes.json
function firestore.indexes(database) end

---@class firestore.create_indexes.options
---@field every? string|number how often it is asked for at most (5s)
---@field progress? function ctx.progress
---@field within? string|number how long it may take (2h)

---Creates the indexes of a file that are not there, and waits until they are built.
---@param database firestore.database what it is about
---@param file string a firestore.indexes.json
---@param options? firestore.create_indexes.options how long
---@return integer how many were created
function firestore.create_indexes(database, file, options) end

---@class firestore.benchmark.options
---@field times? integer how often each is run (10)

---Runs queries and measures how long each takes, as this host sees it.
---@param database firestore.database what it is about
---@param queries any a list of { collection, where = { { "city", "==", "Bern" } }, order_by =, limit =, below = "200ms", name = }, or a Lua file beside the playbook that returns one
---@param options? firestore.benchmark.options how
---@return table {over_target, queries = {{name, p50, p95, below}}}: seconds; over_target counts those whose p95 is not below their target
function firestore.benchmark(database, queries, options) end

return firestore

"""Firestore, with a stand-in server (firestore_standin.py)."""
import json

import pytest
from evaluate import evaluate
from firestore_standin import ROOT, Firestore


@pytest.fixture
def fake():
    made = Firestore()
    yield made
    made.server.shutdown()
    made.server.server_close()


def ask(runbook, playbook, fake, code, key="the_access_token"):
    return evaluate(runbook, playbook, f"""
      local fs_ = require "firestore"
      local db = fs_.open {{ project = "shop", token = p.token, api = "{fake.url}" }}
      local fast = {{ every = "10ms" }}
      {code}""", needs='http = { "127.0.0.1" }', params='token = { "secret", from = "env:KEY", doc = "x" }', env={"KEY": key})


def test_documents_keep_their_types(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, """
      db:set("users/anna", { n = 5, big = json.decode "9007199254740993", half = 0.5, yes = true, none = null, at = time.parse "2026-07-01T22:00:00Z", text = "ü",
        list = { 1, { a = "x" } }, empty = json.array {}, map = { deep = { x = 1 } } })
      local d, changed = db:get "users/anna"
      db:update("users/anna", { n = 6, ["odd-name"] = 1 }, { unchanged_since = changed })
      local again = db:get "users/anna"
      return { n = d.n, big = tostring(d.big), half = d.half, yes = d.yes, none = d.none == null, at = time.iso(d.at), text = d.text, list = d.list, empty = #d.empty, deep = d.map.deep.x,
        changed = again.n, kept = again.half, odd = again["odd-name"], absent = tostring((db:get "users/nobody")) }
    """)
    assert seen == {"n": 5, "big": "9007199254740993", "half": 0.5, "yes": True, "none": True, "at": "2026-07-01T22:00:00Z", "text": "ü", "list": [1, {"a": "x"}], "empty": 0, "deep": 1,
                    "changed": 6, "kept": 0.5, "odd": 1, "absent": "nil"}
    assert fake.documents["users/anna"]["fields"]["big"] == {"integerValue": "9007199254740993"}


def test_preconditions(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, """
      db:set("a/b", { n = 1 }, { exists = false })
      local _, first = db:get "a/b"
      db:set("a/b", { n = 2 })
      local errors = { try(db.set, db, "a/b", { n = 3 }, { exists = false }), try(db.set, db, "a/b", { n = 3 }, { unchanged_since = first }), try(db.delete, db, "a/none", { exists = true }) }
      db:delete "a/b"
      return { errors, tostring((db:get "a/b")) }
    """)
    assert [e["kind"] for e in seen[0]] == ["firestore.changed"] * 3 and seen[1] == "nil"
    assert seen[0][1]["message"] == "Firestore refused the write: FAILED_PRECONDITION: the stored version of a/b is not the required one"


def test_many_in_batches(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, """
      local entries = {}
      for i = 1, 1100 do entries[i] = { ("items/%04d"):format(i), { n = i } } end
      local count, sum = db:set_all(entries, { each = ctx.step }), 0
      for name, fields in db:documents "items" do sum = sum + fields.n end
      return { count, sum }
    """)
    assert seen == [1100, 1100 * 1101 // 2] and fake.commits == 3


def test_an_export_is_started_once_and_found_again(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, """
      local o = { operation = ctx.id, every = "10ms", progress = ctx.progress, collections = { "users" } }
      db:set("users/anna", { n = 1 })
      db:set("others/x", { n = 1 })
      local before = db:operation(ctx.id, fast)
      local one, two = db:export("gs://bucket/", o), db:export("gs://bucket/", o)
      local state, found = db:operation(ctx.id, fast)
      db:import(one, fast)
      return { before, one.operation == two.operation, one.uri:match "^gs://bucket/.*_evaluate$" == one.uri, one.documents, state, found.uri == one.uri }
    """)
    assert seen == ["absent", True, True, 1, "done", True]
    assert [s[0] for s in fake.started] == ["exportDocuments", "importDocuments"] and fake.started[0][2] == ["users"]


def test_an_export_that_fails(runbook, playbook, fake):
    fake.fail_next = "the bucket is not there"
    seen = ask(runbook, playbook, fake, """
      return { try(db.export, db, "gs://bucket", { operation = "x", every = "10ms" }), db:operation("x", fast), db:export("gs://bucket", { operation = "x", every = "10ms" }).uri }
    """)
    assert seen == [{"kind": "firestore.operation", "message": f"{ROOT}/operations/op0 failed: the bucket is not there"}, "absent", "gs://bucket/x"]


def test_refusals(runbook, playbook, fake):
    errors = ask(runbook, playbook, fake, """
      return { try(fs_.open, {}), try(db.get, db, "users"), try(db.get, db, "users//x"), try(db.set, db, "a/b", 5), try(db.set, db, "a/b", {}, { exist = true }), try(db.export, db, "s3://x", { operation = "x" }),
        try(db.export, db, "gs://x", {}), try(db.set_all, db, {}, { batch = 501 }), try(db.set, db, "a/b", { f = function() end }) }
    """)
    assert [e["message"] for e in errors] == [
        "firestore.open: argument 1 'options': option 'project' is required", "firestore.get: argument 2 'path': 'users' is a collection; a document is collection/name",
        "firestore.get: argument 2 'path': 'users//x' has an empty part", "firestore.set: argument 3 'fields': table expected, got number",
        "firestore.set: argument 4 'options': unknown option 'exist' (did you mean 'exists'?)", "firestore.export: argument 2 'uri': gs://bucket expected, got 's3://x'",
        "firestore.export: argument 3 'options': option 'operation' is required", "firestore.set_all: argument 3 'options': option 'batch': 2 to 500 expected, got 501",
        "field 'f': Firestore has no function"]
    wrong = ask(runbook, playbook, fake, 'return try(db.get, db, "a/b")', key="another_token")
    assert wrong["kind"] == "http.status" and "another_token" not in json.dumps(wrong)


USERS = "for i = 1, 25 do db:set(('users/u%02d'):format(i), { n = i, old = true, half = i / 2 }) end\n"
TRANSFORM = """
      local seen = 0
      local function transform(fields, path)
        seen = seen + 1
        if fields.n % 2 == 0 then return nil end
        fields.name, fields.old = path, nil
        return fields
      end
"""


def test_a_collection_is_migrated_in_batches(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, TRANSFORM + USERS + """
      local before = db:migration_state "users"
      local done = db:migrate("users", { transform = transform, batch = 11, validate = true })
      local state, note = db:migration_state "users"
      local again = db:migrate("users", { transform = transform, batch = 11 })
      return { before, done, state, note.batch, again.documents, seen, db:get "users/u01", db:get "users/u02", (db:migration_state("users", { version = "2" })) }
    """)
    assert seen == ["absent", {"documents": 25, "changed": 13, "batches": 3}, "done", 3, 25, 25, {"n": 1, "half": 0.5, "name": "users/u01"},
                    {"n": 2, "half": 1, "old": True}, "absent"]


def test_a_migration_goes_on_behind_its_last_batch(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, USERS + """
      local times, left = {}, 12
      local function transform(fields, path)
        if left == 0 then error { kind = "lua", message = "stopped" } end
        left, times[path] = left - 1, (times[path] or 0) + 1
        fields.n = fields.n + 100
        return fields
      end
      local first = try(db.migrate, db, "users", { transform = transform, batch = 6 })
      local state, note = db:migration_state "users"
      local broken = db:validate "users"
      left = 100
      local done, sum = db:migrate("users", { transform = transform, batch = 6 }), 0
      for name, fields in db:documents "users" do sum = sum + fields.n end
      local fine = db:validate { { "users", critical = true, valid = function(fields) return fields.n > 101, "is " .. fields.n end } }
      return { first.message, state, note.documents, broken.errors, broken.problems, done.documents, sum, fine.coverage, fine.errors, fine.problems }
    """)
    assert seen == ["stopped", "partial", 10, 1, ["users: its migration ended at batch 2"], 25, 25 * 100 + 325, 1, 1, ["users/u01: is 101"]]


def test_a_document_that_changes_meanwhile_is_read_again(runbook, playbook, fake):
    fake.documents["users/a"] = {"name": f"{ROOT}/documents/users/a", "fields": {"n": {"integerValue": "1"}}, "createTime": "2026-01-01T00:00:00Z", "updateTime": "2026-01-01T00:00:00Z"}

    def meanwhile():
        fake.before_commit = None
        fake.put("users/a", {"n": {"integerValue": "7"}, "half": {"doubleValue": 4}})

    fake.before_commit = meanwhile
    seen = ask(runbook, playbook, fake, """
      local done = db:migrate("users", { transform = function(fields) fields.n = fields.n * 10 return fields end })
      return { done.changed, db:get("users/a").n }
    """)
    assert seen == [1, 70]
    assert fake.documents["users/a"]["fields"]["half"] == {"doubleValue": 4}  # what the migration did not change keeps its type


def test_sub_steps_of_a_migration(runbook, playbook, fake):
    path = playbook(f"""\
local firestore = require "firestore"
local p = playbook "m" {{ summary = "x", needs = {{ http = {{ "127.0.0.1" }} }}, params = {{ token = {{ "secret", from = "env:KEY", doc = "x" }} }} }}
local db = firestore.open {{ project = "shop", token = p.token, api = "{fake.url}" }}
step "fill" {{ undo = keep "x", run = function() {USERS} end }}
step "migrate" {{ undo = keep "x", observe = function() return db:migration_state "users" end,
  run = function(ctx)
    return db:migrate("users", {{ batch = 11, each = ctx.step, progress = ctx.progress, transform = function(fields) return {{ n = fields.n + 1 }} end }})
  end }}
""")
    crashed = runbook("exec", path.name, "--run-id", "r1", "--output", "json", cwd=path.parent, env={"KEY": "the_access_token", "RUNBOOK_FAILPOINT": "effect.after:27"})
    assert crashed.exit != 0
    done = runbook("resume", "r1", "--output", "json", cwd=path.parent, env={"KEY": "the_access_token"})
    assert done.exit == 0, done.out + done.err
    assert sorted(int(d["fields"]["n"]["integerValue"]) for n, d in fake.documents.items() if n.startswith("users/")) == list(range(2, 27))


def test_an_import_brings_back_what_was_exported(runbook, playbook, fake):
    seen = ask(runbook, playbook, fake, USERS + """
      local o = { operation = ctx.id, every = "10ms", collections = { "users" } }
      local mark = db:export("gs://bucket", o)
      local none = db:written_since(mark)
      local word = db:difference(mark, "users"):sentence()
      db:set("users/new", { n = 99 })
      db:set("users/u01", { n = 500 })
      db:set("others/x", { n = 1 })
      db:delete "users/u02"
      local some, diff = db:written_since(mark), db:difference(mark.uri, "users")
      db:migrate("users", { transform = function(fields) fields.x = 1 return fields end })
      local done = db:import(mark, { collections = { "users" }, delete_extra = true, every = "10ms" })
      local sum, count = 0, 0
      for _, fields in db:documents "users" do sum, count = sum + fields.n, count + 1 end
      return { none.rows, none.nothing, word, some.rows, some.nothing, some.tables, diff:sentence(), done.removed, sum, count, db:get "others/x", (db:migration_state "users"),
        try(db.difference, db, "gs://nowhere/x") }
    """)
    assert seen[:12] == [0, True, "no document is newer than the export", 2, False, {"users": {"written": 2}}, "2 documents newer than the export would be lost", 1, 325, 25, {"n": 1}, "absent"]
    assert seen[12] == {"kind": "firestore.export", "message": "Firestore knows no finished export to gs://nowhere/x: when it began is not known",
                        "hint": "give the result of db:export; operations are listed by: gcloud firestore operations list"}


def test_quiet_is_proven(runbook, playbook, fake):
    code = USERS + 'local seen = try(db.expect_quiet, db, { for_ = "10ms" })\nlocal all = type(seen) == "string" and db:expect_quiet { for_ = "10ms" }.documents\nreturn { seen, all }'
    assert ask(runbook, playbook, fake, code) == ["no error", 25]

    def meanwhile():
        fake.put("orders/new", {})

    fake.before_count = meanwhile
    wrong = ask(runbook, playbook, fake, code)[0]
    assert wrong["kind"] == "firestore.busy" and wrong["message"] == "it is not quiet: 1 documents were written (orders/new) within 10ms", wrong

    def removes():
        fake.documents.pop("users/u01", None) if "gone" in fake.__dict__ else fake.__dict__.update(gone=True)

    fake.before_count = removes
    assert ask(runbook, playbook, fake, code)[0]["message"].startswith("it is not quiet: there were 26 documents, and now 25")


def test_indexes_and_their_speed(runbook, playbook, fake, tmp_path):
    wanted = {"indexes": [{"collectionGroup": "users", "queryScope": "COLLECTION", "fields": [{"fieldPath": "city", "order": "ASCENDING"}, {"fieldPath": "tags", "arrayConfig": "CONTAINS"}]}]}
    seen = evaluate(runbook, playbook, f"""
      local fs_ = require "firestore"
      local db = fs_.open {{ project = "shop", token = p.token, api = "{fake.url}" }}
      {USERS}
      fs.write("firestore.indexes.json", [[{json.dumps(wanted)}]])
      fs.write("broken.json", "[]")
      local before = db:indexes()
      local texts = before:missing "firestore.indexes.json"
      local made = db:create_indexes("firestore.indexes.json", {{ every = "1ms" }})
      local after = db:indexes()
      local speed = db:benchmark({{ {{ "users", where = {{ {{ "n", "==", 5 }} }}, below = "10m" }}, {{ "users", order_by = "n", limit = 3, below = 0 }} }}, {{ times = 3 }})
      return {{ before:has "firestore.indexes.json", texts, made, after:has "firestore.indexes.json", after.ready, db:create_indexes "firestore.indexes.json",
        speed.over_target, #speed.queries, speed.queries[1].below, try(after.has, after, "broken.json"), try(db.benchmark, db, {{ {{ "users", were = 1 }} }}) }}
    """, needs='http = { "127.0.0.1" }, files = { "firestore.indexes.json", "broken.json" }', params='token = { "secret", from = "env:KEY", doc = "x" }', env={"KEY": "the_access_token"})
    assert seen[:9] == [False, ["users: city ASCENDING, tags CONTAINS"], 1, True, ["users: city ASCENDING, tags CONTAINS"], 0, 1, 2, 600]
    assert seen[9]["message"] == 'broken.json: a file of indexes expected, { "indexes": [ … ] }'
    assert seen[10]["message"] == "firestore.benchmark: argument 2 'queries': entry 1: unknown option 'were'"


def test_indexes_keep_their_methods_in_a_result(runbook, playbook, fake):
    path = playbook(f"""\
local firestore = require "firestore"
local p = playbook "m" {{ summary = "x", needs = {{ http = {{ "127.0.0.1" }}, files = {{ "wanted.json" }} }}, params = {{ token = {{ "secret", from = "env:KEY", doc = "x" }} }} }}
local db = firestore.open {{ project = "shop", token = p.token, api = "{fake.url}" }}
checkpoint "indexes" {{ run = function() return {{ indexes = db:indexes() }} end, pass = function(r) return r.indexes:has "wanted.json" end, fail = {{ otherwise = rollback "no" }} }}
""")
    (path.parent / "wanted.json").write_text('{ "indexes": [] }')
    assert runbook("exec", path.name, cwd=path.parent, env={"KEY": "the_access_token"}).exit == 0


def test_an_export_is_a_parameter(runbook, playbook):
    path = playbook('local p = playbook "m" { summary = "x", params = { export = { "export", required = true, doc = "to restore" } } }\n'
                    'step "a" { run = function() return p.export end }')
    wrong = runbook("exec", path.name, "--export", "s3://x/y", cwd=path.parent)
    assert wrong.exit == 2 and "parameter --export: an export such as gs://bucket/folder expected, got 's3://x/y'" in wrong.err
    fine = runbook("exec", path.name, "--export", "gs://bucket/before/", "--output", "json", cwd=path.parent)
    assert [e["result"] for e in fine.events() if e["event"] == "step.finished"] == ["gs://bucket/before"]

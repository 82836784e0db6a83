"""Firestore, with a stand-in server written from its public REST reference: documents with versions, commits of all or nothing, long operations."""
import http.server
import json
import re
import threading
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from evaluate import evaluate

ROOT = "projects/shop/databases/(default)"


class Firestore:
    def __init__(self):
        self.documents, self.operations, self.commits, self.version, self.looks = {}, [], 0, 0, 2
        self.fail_next, self.started = None, []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_one(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                parts = urlsplit(self.path)
                status, answer = fake.route(self.command, unquote(parts.path).removeprefix("/v1/"), parse_qs(parts.query), body, self.headers["Authorization"])
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_one

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def refuse(self, code, status, message):
        return code, {"error": {"code": code, "status": status, "message": message}}

    def route(self, method, path, query, body, who):
        if who != "Bearer the_access_token":
            return self.refuse(401, "UNAUTHENTICATED", "no token")
        if path == f"{ROOT}/documents:commit":
            return self.commit(body["writes"])
        if path in (f"{ROOT}:exportDocuments", f"{ROOT}:importDocuments"):
            uri = body.get("outputUriPrefix") or body["inputUriPrefix"]
            self.started.append((path.split(":")[1], uri, body.get("collectionIds")))
            one = {"name": f"{ROOT}/operations/op{len(self.operations)}", "done": False, "looks": self.looks,
                   "metadata": {"operationState": "PROCESSING", "progressDocuments": {"completedWork": "5", "estimatedWork": "10"}, **({"outputUriPrefix": uri} if "export" in path else {})}}
            if self.fail_next:
                one["will_fail"], self.fail_next = self.fail_next, None
            self.operations.insert(0, one)
            return 200, self.shown(one)
        if path == f"{ROOT}/operations":
            return 200, {"operations": [self.shown(o) for o in self.operations]} if self.operations else {}
        if found := [o for o in self.operations if o["name"] == path]:
            return 200, self.look(found[0])
        name = path.removeprefix(f"{ROOT}/documents/")
        if name in self.documents:
            return 200, self.documents[name]
        if name.count("/") % 2 == 0:
            names = sorted(n for n in self.documents if re.fullmatch(re.escape(name) + "/[^/]+", n))
            begin, size = int(query.get("pageToken", ["0"])[0]), int(query["pageSize"][0])
            page = {"documents": [self.documents[n] for n in names[begin:begin + size]]} if names[begin:] else {}
            return 200, {**page, **({"nextPageToken": str(begin + size)} if len(names) > begin + size else {})}
        return self.refuse(404, "NOT_FOUND", "no document")

    def shown(self, one):
        return {k: v for k, v in one.items() if k not in ("looks", "will_fail")}

    def look(self, one):
        one["looks"] -= 1
        if one["looks"] <= 0 and not one["done"]:
            one["done"] = True
            one["metadata"]["progressDocuments"]["completedWork"] = "10"
            if "will_fail" in one:
                one["error"] = {"message": one["will_fail"]}
            elif "outputUriPrefix" in one["metadata"]:
                one["response"] = {"outputUriPrefix": one["metadata"]["outputUriPrefix"]}
        return self.shown(one)

    def commit(self, writes):
        assert 1 <= len(writes) <= 500
        new = dict(self.documents)
        for write in writes:
            name = (write.get("delete") or write["update"]["name"]).removeprefix(f"{ROOT}/documents/")
            old, wanted = new.get(name), write.get("currentDocument", {})
            if "exists" in wanted and wanted["exists"] != (old is not None):
                return self.refuse(404 if wanted["exists"] else 409, "NOT_FOUND" if wanted["exists"] else "ALREADY_EXISTS", name)
            if "updateTime" in wanted and (old is None or old["updateTime"] != wanted["updateTime"]):
                return self.refuse(400, "FAILED_PRECONDITION", f"the stored version of {name} is not the required one")
            if "delete" in write:
                new.pop(name, None)
                continue
            fields = write["update"]["fields"]
            if "updateMask" in write:
                assert sorted(p.strip("`") for p in write["updateMask"]["fieldPaths"]) == sorted(fields)
                fields = {**(old or {"fields": {}})["fields"], **fields}
            self.version += 1
            new[name] = {"name": f"{ROOT}/documents/{name}", "fields": fields, "updateTime": f"2026-01-01T00:00:00.{self.version:06}Z"}
        self.documents, self.commits = new, self.commits + 1
        return 200, {}


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
      local before = db:operation(ctx.id, fast)
      local one, two = db:export("gs://bucket/", o), db:export("gs://bucket/", o)
      local state, found = db:operation(ctx.id, fast)
      db:import(one, fast)
      return { before, one.operation == two.operation, one.uri:match "^gs://bucket/.*_evaluate$" == one.uri, one.documents, state, found.uri == one.uri }
    """)
    assert seen == ["absent", True, True, 10, "done", True]
    assert [s[0] for s in fake.started] == ["exportDocuments", "importDocuments"] and fake.started[0][2] == ["users"]


def test_an_export_that_fails(runbook, playbook, fake):
    fake.fail_next = "the bucket is not there"
    seen = ask(runbook, playbook, fake, """
      return { try(db.export, db, "gs://bucket", { operation = "x", every = "10ms" }), db:operation("x", fast), db:export("gs://bucket", { operation = "x", every = "10ms" }).uri }
    """)
    assert seen == [{"kind": "firestore.operation", "message": f"{ROOT}/operations/op0 failed: the bucket is not there"}, "absent", "gs://bucket/x"]


def test_refusals(runbook, playbook, fake):
    errors = ask(runbook, playbook, fake, """
      return { try(fs_.open, {}), try(db.get, db, "users"), try(db.get, db, "users//x"), try(db.set, db, "a/b", 5), try(db.set, db, "a/b", {}, { exist = true }), try(db.export, db, "s3://x", {}),
        try(db.export, db, "gs://x", {}), try(db.set_all, db, {}, { batch = 501 }), try(db.set, db, "a/b", { f = function() end }) }
    """)
    assert [e["message"] for e in errors] == [
        "firestore.open: argument 1 'options': option 'project' is required", "db:get: argument 1 'path': 'users' is a collection; a document is collection/name",
        "db:get: argument 1 'path': 'users//x' has an empty part", "db:set: argument 2 'fields': table expected, got number",
        "db:set: argument 3 'options': unknown option 'exist' (did you mean 'exists'?)", "db:export: argument 1 'uri': gs://bucket expected, got 's3://x'",
        "db:export: argument 2 'options': option 'operation' is required", "db:set_all: argument 2 'options': option 'batch': 1 to 500 expected, got 501",
        "field 'f': Firestore has no function"]
    wrong = ask(runbook, playbook, fake, 'return try(db.get, db, "a/b")', key="another_token")
    assert wrong["kind"] == "http.status" and "another_token" not in json.dumps(wrong)

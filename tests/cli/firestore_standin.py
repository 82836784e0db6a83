"""A stand-in for Firestore, written from its public REST reference: documents with versions, commits of all or nothing, queries, long operations, indexes."""
import http.server
import json
import re
import threading
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = "projects/shop/databases/(default)"


class Firestore:
    def __init__(self):
        self.documents, self.operations, self.commits, self.version, self.looks = {}, [], 0, 0, 2
        self.fail_next, self.started, self.exports, self.indexes = None, [], {}, []
        self.before_commit = self.before_count = None
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
            if self.before_commit:
                self.before_commit()
            return self.commit(body["writes"])
        if path == f"{ROOT}/documents:listCollectionIds":
            return 200, {"collectionIds": sorted({name.split("/")[0] for name in self.documents})}
        if found := re.fullmatch(re.escape(ROOT) + r"/documents(?:/(.*))?:(runQuery|runAggregationQuery)", path):
            return 200, self.queried(found[1] or "", found[2], body)
        if found := re.fullmatch(re.escape(ROOT) + r"/collectionGroups/([^/]+)/indexes", path):
            return self.index(method, found[1], body)
        if path in (f"{ROOT}:exportDocuments", f"{ROOT}:importDocuments"):
            uri = body.get("outputUriPrefix") or body["inputUriPrefix"]
            self.started.append((path.split(":")[1], uri, body.get("collectionIds")))
            if "export" in path:
                self.exports[uri] = {n: d for n, d in self.documents.items() if self.chosen(n, body)}
            elif uri not in self.exports:
                return self.refuse(404, "NOT_FOUND", "no export at " + uri)
            one = {"name": f"{ROOT}/operations/op{len(self.operations)}", "done": False, "looks": self.looks,
                   "holds": (uri, body), "is_import": "import" in path,
                   "metadata": {"operationState": "PROCESSING", "startTime": self.now(), **({"collectionIds": body["collectionIds"]} if body.get("collectionIds") else {}), "progressDocuments": {"completedWork": "5", "estimatedWork": "10"}, **({"outputUriPrefix": uri} if "export" in path else {})}}
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

    def now(self):
        """A time of its own for each event; nanoseconds as Firestore writes them: none to nine digits."""
        self.version += 1
        return f"2026-01-01T00:00:{self.version // 1000:02}" + f".{self.version % 1000:03}".rstrip("0").rstrip(".") + "Z"

    def put(self, name, fields):
        old, now = self.documents.get(name), self.now()
        if old and old["fields"] == fields:
            return  # a write that changes nothing keeps the time
        self.documents[name] = {"name": f"{ROOT}/documents/{name}", "fields": fields, "createTime": old["createTime"] if old else now, "updateTime": now}

    @staticmethod
    def chosen(name, body):
        return not body.get("collectionIds") or name.split("/")[-2] in body["collectionIds"]

    def queried(self, parent, what, body):
        query = body["structuredQuery"] if what == "runQuery" else body["structuredAggregationQuery"]["structuredQuery"]
        source = query["from"][0]
        if what == "runAggregationQuery" and self.before_count:
            self.before_count()
        names = [n for n in sorted(self.documents) if source.get("allDescendants") or n.rsplit("/", 2)[0] == parent or (not parent and n.count("/") == 1)]
        names = [n for n in names if source.get("collectionId") in (None, n.split("/")[-2])]
        if what == "runAggregationQuery":
            return [{"result": {"aggregateFields": {"n": {"integerValue": str(len(names))}}}, "readTime": self.now()}]
        for one in query.get("where", {}).get("compositeFilter", {}).get("filters", []):
            field = one["fieldFilter"]
            assert field["op"] == "EQUAL"
            names = [n for n in names if self.documents[n]["fields"].get(field["field"]["fieldPath"]) == field["value"]]
        if start := query.get("startAt"):
            assert start["before"] is False and query["orderBy"][0]["field"]["fieldPath"] == "__name__"
            names = [n for n in names if f"{ROOT}/documents/{n}" > start["values"][0]["referenceValue"]]
        found = [self.documents[n] for n in names[:query.get("limit")]]
        if query.get("select"):
            found = [{k: v for k, v in d.items() if k != "fields"} for d in found]
        read = self.now()
        return [{"document": d, "readTime": read} for d in found] or [{"readTime": read}]

    def index(self, method, group, body):
        if method == "GET":
            for one in self.indexes:
                one["looks"] -= 1
                if one["looks"] <= 0:
                    one["state"] = "READY"
            return 200, {"indexes": [{k: v for k, v in one.items() if k != "looks"} for one in self.indexes]} if self.indexes else {}
        assert set(body) == {"queryScope", "fields"}
        self.indexes.append({"name": f"{ROOT}/collectionGroups/{group}/indexes/i{len(self.indexes)}", "queryScope": body["queryScope"], "looks": 3,
                             "fields": [*body["fields"], {"fieldPath": "__name__", "order": "ASCENDING"}], "state": "CREATING"})
        return 200, {"name": f"{ROOT}/operations/index"}

    def shown(self, one):
        return {k: v for k, v in one.items() if k not in ("looks", "will_fail", "holds", "is_import")}

    def look(self, one):
        one["looks"] -= 1
        if one["looks"] <= 0 and not one["done"]:
            one["done"] = True
            uri, body = one["holds"]
            one["metadata"]["progressDocuments"]["completedWork"] = str(len([n for n in self.exports[uri] if self.chosen(n, body)]))
            if "will_fail" in one:
                one["error"] = {"message": one["will_fail"]}
            elif one["is_import"]:
                for name, document in self.exports[uri].items():
                    if self.chosen(name, body):
                        self.put(name, document["fields"])
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
                mask = [p.strip("`") for p in write["updateMask"]["fieldPaths"]]
                assert set(fields) <= set(mask)
                fields = {**{k: v for k, v in (old or {"fields": {}})["fields"].items() if k not in mask}, **fields}
            now = self.now()
            new[name] = {"name": f"{ROOT}/documents/{name}", "fields": fields, "createTime": old["createTime"] if old else now, "updateTime": now}
        self.documents, self.commits = new, self.commits + 1
        return 200, {}

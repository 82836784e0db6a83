"""Render's API, with a stand-in server written from its public reference (https://api-docs.render.com)."""
import http.server
import json
import re
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from evaluate import evaluate


class Api:
    """Services srv-1 "web" and srv-2 "gateway". Suspending takes a look or two; `answers` are given first: [(status, headers)…]."""

    def __init__(self):
        self.services = {i: {"id": i, "name": n, "suspended": "not_suspended", "serviceDetails": {"numInstances": k}} for i, n, k in (("srv-1", "web", 3), ("srv-2", "gateway", 1))}
        self.deploys = {"srv-1": [{"id": "dep-1", "status": "live"}], "srv-2": []}
        self.later, self.answers, self.posts, self.env = [], [], [], {"URL": "a"}
        self.new_status = "live"
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, body=None, headers=()):
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def handle_one(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                if api.answers:
                    status, headers = api.answers.pop(0)
                    return self.answer(status, {"message": "later"}, headers)
                if self.headers["Authorization"] != "Bearer rnd_secret_key":
                    return self.answer(401, {"message": "Unauthorized"})
                parts = urlsplit(self.path)
                self.answer(*api.route(self.command, parts.path, parse_qs(parts.query), body))

            do_GET = do_POST = do_PUT = handle_one

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def route(self, method, path, query, body):
        if method != "GET":
            self.posts.append(f"{method} {path}" + (f" {json.dumps(body)}" if body else ""))
        if path == "/v1/services":
            return 200, [{"service": s, "cursor": "c"} for s in self.services.values() if s["name"] in query["name"]]
        found = re.fullmatch(r"/v1/services/(srv-\d)(?:/(.*))?", path)
        if not found or found[1] not in self.services:
            return 404, {"message": "not found"}
        one, what = self.services[found[1]], found[2]
        if what is None:
            if self.later:
                self.later.pop(0)()
            return 200, one
        if what in ("suspend", "resume"):
            self.later = [lambda: None, lambda: one.update(suspended="suspended" if what == "suspend" else "not_suspended")]
            return 202, None
        if what == "scale":
            one["serviceDetails"]["numInstances"] = body["numInstances"]
            return 202, None
        if what == "deploys":
            return 200, [{"deploy": d, "cursor": "c"} for d in self.deploys[one["id"]] if d["status"] == query["status"][0]][:1]
        if what == "rollback":
            for old in self.deploys[one["id"]]:
                old["status"] = "deactivated"
            new = {"id": f"dep-{len(self.deploys[one['id']]) + 1}", "status": "update_in_progress"}
            self.deploys[one["id"]].append(new)
            return 201, dict(new)
        if what.startswith("deploys/"):
            deploy = next(d for d in self.deploys[one["id"]] if d["id"] == what[8:])
            now = dict(deploy)
            deploy["status"] = self.new_status
            return 200, now
        if what == "env-vars" and method == "GET":
            return 200, [{"envVar": {"key": k, "value": v}, "cursor": k} for k, v in self.env.items()]
        if what.startswith("env-vars/") and method == "PUT":
            self.env[what[9:]] = body["value"]
            return 200, {"key": what[9:]}
        return 404, {"message": "not found"}


@pytest.fixture
def api():
    made = Api()
    yield made
    made.server.shutdown()
    made.server.server_close()


def ask(runbook, playbook, api, code, key="rnd_secret_key"):
    return evaluate(runbook, playbook, f'local render = require "render"\nrender.api = "{api.url}"\nlocal fast = {{ every = "10ms", within = "20s" }}\n' + code,
                    needs='http = { "127.0.0.1" }', params='token = { "secret", from = "env:KEY", doc = "x" }', env={"KEY": key})


def test_suspended_and_resumed_as_it_was(runbook, playbook, api):
    seen = ask(runbook, playbook, api, """
      local saved = { deploy = render.live_deploy(p.token, "web"), scale = render.scale(p.token, "web") }
      render.suspend(p.token, "web", fast)
      local down = render.state(p.token, "web")
      render.suspend(p.token, "web", fast)
      render.set_scale(p.token, "web", 1)
      render.resume(p.token, "web", saved.scale, fast)
      return { saved, down, render.state(p.token, "web"), render.scale(p.token, "srv-1"), render.reachable(p.token, { "web", "gateway" }),
        tostring(render.live_deploy(p.token, "gateway")) }
    """)
    assert seen == [{"deploy": "dep-1", "scale": 3}, "suspended", "running", 3, True, "nil"]
    assert api.posts == ["POST /v1/services/srv-1/suspend", 'POST /v1/services/srv-1/scale {"numInstances": 1}', "POST /v1/services/srv-1/resume",
                         'POST /v1/services/srv-1/scale {"numInstances": 3}']


def test_deploys_and_variables(runbook, playbook, api):
    seen = ask(runbook, playbook, api, """
      local same = render.deploy(p.token, "web", "dep-1", fast)
      local new = render.deploy(p.token, "web", "dep-0", fast)
      render.set_env(p.token, "web", "MODE", "on")
      return { same, new, render.live_deploy(p.token, "web"), render.env(p.token, "web", "MODE"), render.env(p.token, "web", "URL"), tostring(render.env(p.token, "web", "X")) }
    """)
    assert seen == ["dep-1", "dep-2", "dep-2", "on", "a", "nil"]


def test_what_goes_wrong(runbook, playbook, api):
    api.new_status = "build_failed"
    errors = ask(runbook, playbook, api, """
      return { try(render.state, p.token, "absent"), try(render.deploy, p.token, "web", "dep-0", fast), try(render.suspend, p.token, "web", { witin = 1 }),
        try(render.resume, p.token, "web", "3"), try(render.reachable, p.token, "web"), try(render.suspend, p.token, "web", { within = "1ms", every = "5ms" }) }
    """)
    assert [e["message"].split(" after ")[0] for e in errors] == [
        "Render has no service 'absent' that this token may see", "web: the deploy dep-2 ended as build_failed",
        "render.suspend: argument 3 'options': unknown option 'witin' (did you mean 'within'?)",
        "render.resume: argument 3 'scale': a whole number expected, got string", "render.reachable: argument 2 'services': list of names expected, got string",
        "web: is to be suspended, but it is not so"]


def test_a_wrong_token_and_a_server_that_is_busy(runbook, playbook, api):
    wrong = ask(runbook, playbook, api, 'return try(render.state, p.token, "web")', key="another_key")
    assert wrong["kind"] == "http.status" and "another_key" not in json.dumps(wrong)
    api.answers = [(429, [("Retry-After", "0")]), (503, [])]
    assert ask(runbook, playbook, api, 'return render.state(p.token, "web")') == "running"
    api.answers = [(500, [])]
    assert ask(runbook, playbook, api, 'return try(render.suspend, p.token, "web", fast)')["kind"] == "http.status"
    assert api.posts == []

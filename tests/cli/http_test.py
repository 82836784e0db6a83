"""HTTP in playbooks against a real server: waiting for an answer, and what comes when there is none."""
import http.server
import threading

import pytest


@pytest.fixture
def server():
    """Answers /page with 503 while `down` is set, /health with JSON; keeps what was posted to /hook."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, body, kind="text/plain", retry_after=None):
            self.send_response(status)
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.server.seen.append(self.path)
            if self.path.startswith("/health"):
                self.answer(200, b'{"status":"ok","database":{"adapter":"PostgreSQL"}}', "application/json")
            elif self.server.down > 0:
                self.server.down -= 1
                self.answer(503, b"maintenance", retry_after=self.server.retry_after)
            else:
                self.answer(200, b"open")

        def do_POST(self):
            self.server.posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(200, b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.posted, server.down, server.retry_after = [], [], 0, None
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def one_step(playbook, code, needs='http = { "127.0.0.1" }'):
    return playbook(f"""
        local p = playbook "x" {{ summary = "x", needs = {{ {needs} }},
          params = {{ app = {{ "url", required = true, doc = "x" }} }} }}
        step "ask" {{ undo = keep "nothing", run = function() {code} end }}
    """)


def failure(result):
    return [e for e in result.events() if e["event"] == "step.failed"][0]["error"]


def test_expect_waits(runbook, playbook, server):
    server.down = 2
    path = one_step(playbook, 'return http.expect(p.app .. "page", { status = 200, within = "20s", every = "50ms" }).attempts')
    result = runbook("exec", path, "--app", server.url + "/", "--output", "json")
    assert result.exit == 0, result
    assert [e for e in result.events() if e["event"] == "step.finished"][0]["result"] == 3


def test_expect_says_what_came_instead(runbook, playbook, server):
    path = one_step(playbook, 'http.expect(p.app .. "page?token=abcdef", { status = 503 })')
    error = failure(runbook("exec", path, "--app", server.url + "/", "--output", "json"))
    assert error["kind"] == "http.status"
    assert error["message"] == f"GET {server.url}/page?token=***: expected status 503, got 200"
    path = one_step(playbook, 'http.expect(p.app .. "health", { json = { ["database.adapter"] = "Mysql2" } })')
    error = failure(runbook("exec", path, "--app", server.url + "/", "--output", "json"))
    assert error["message"] == f'GET {server.url}/health: expected database.adapter = "Mysql2", got "PostgreSQL"'


def test_no_server(runbook, playbook, server):
    path = one_step(playbook, 'http.get "http://127.0.0.1:1/"')
    error = failure(runbook("exec", path, "--app", server.url, "--output", "json"))
    assert (error["kind"], error["message"]) == ("http.connection", "GET http://127.0.0.1:1/: connection refused")


def test_a_host_that_is_not_declared(runbook, playbook, server):
    path = one_step(playbook, f'http.get(("{server.url}/"):lower())', 'http = { "app.example.com" }')
    error = failure(runbook("exec", path, "--app", "http://other.example.com/", "--output", "json"))
    assert error["kind"] == "permission"
    assert f"may not reach `{server.url[7:]}`: needs.http allows app.example.com" in error["message"]
    assert server.seen == []


def test_notify_through_a_webhook(runbook, playbook, server):
    path = one_step(playbook, """
        notify.channel("chat", { url = p.app .. "hook", format = "slack" })
        return notify.send("Copied <5> rows", { to = "chat" })[1].receipt""")
    result = runbook("exec", path, "--app", server.url + "/", "--output", "json")
    assert result.exit == 0, result
    assert server.posted == ['{"text":"Copied &lt;5&gt; rows"}']
    sent = [e for e in result.events() if e["event"] == "notify.sent" and e["channel"] == "chat"]
    assert [(e["text"], e["receipt"]) for e in sent] == [("Copied <5> rows", "status 200")]


def test_a_step_comes_back_when_the_server_says(runbook, playbook, server):
    server.down, server.retry_after = 1, "2"
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { http = { "127.0.0.1" } } }
        step "ask" { retry = { attempts = 2, initial = 0, on = "http.status" }, run = function() http.get "URL/page" end }
        step "see" { run = function()
          local ok, err = pcall(http.get, "URL/page")
          return ok
        end }
    """.replace("URL", server.url))
    result = runbook("exec", path, "--output", "json")
    assert result.exit == 0, result.out + result.err
    failed = next(e for e in result.events() if e["event"] == "attempt.failed")
    assert failed["retry_in_s"] == 2 and len(server.seen) == 3
    # where no time is left for it, the attempt is not made
    server.down, server.retry_after = 9, "3600"
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { http = { "127.0.0.1" } } }
        step "ask" { retry = { attempts = 9, initial = 0, within = "1m" }, run = function() http.get "URL/page" end }
    """.replace("URL", server.url))
    assert runbook("exec", path).exit == 1
    assert len(server.seen) == 4

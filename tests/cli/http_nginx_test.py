"""HTTP against the lab's nginx (TLS, client certificate, authentication, limits), and against a server that breaks off."""
import hashlib
import http.server
import os
import threading
from pathlib import Path

import pytest

from conftest import lab_url


@pytest.fixture
def step(runbook, playbook, tmp_path):
    """Runs the body of a step; returns the run. `u` is nginx, `ca` its authority, `p.pw` the password, `d` a folder."""
    url = lab_url("NGINX_URL")
    password = Path(os.environ["RUNBOOK_LAB_NGINX_PASSWORD_FILE"]).read_text().strip()
    folder = tmp_path / "work"
    folder.mkdir()

    def run(body, hosts=("localhost", "127.0.0.1"), **env):
        path = playbook(f"""
            local p = playbook "x" {{ summary = "x", needs = {{ http = {{ {', '.join(f'"{h}"' for h in hosts)} }}, files = {{ "{folder}/" }} }},
              params = {{ pw = {{ "secret", from = "env:NGINX_PASSWORD", doc = "x" }} }} }}
            local u, ca, d = "{url}", {{ ca = "{os.environ['RUNBOOK_LAB_CA']}" }}, "{folder}/"
            step "do" {{ undo = keep "nothing", run = function() {body} end }}
        """)
        return runbook("exec", path, "--output", "json", env={"NGINX_PASSWORD": password, **env})

    run.folder, run.password, run.url = folder, password, url
    return run


def result(done):
    assert done.exit == 0, done
    return [e for e in done.events() if e["event"] == "step.finished"][0].get("result")


def error(done):
    assert done.exit == 1, done
    return [e for e in done.events() if e["event"] == "step.failed"][0]["error"]


def test_tls_is_verified_and_switched_off_only_aloud(step):
    assert result(step('return http.get(u .. "hello.txt", { tls = ca }).body')) == "hello from nginx\n"
    failed = error(step('http.get(u .. "hello.txt")'))
    assert failed["kind"] == "http.tls"
    assert failed["hint"] == "check tls.ca, tls.cert and the name in the certificate"
    failed = error(step('http.get((u:gsub("localhost", "127.0.0.2")) .. "hello.txt", { tls = ca })', hosts=["127.0.0.2"]))
    assert failed["kind"] in ("http.tls", "http.connection")
    done = step('return http.get(u .. "hello.txt", { tls = { verify = false } }).status')
    assert result(done) == 200
    said = [e["text"] for e in done.events() if e["event"] == "log"]
    assert said == [f"GET {step.url}hello.txt: the server's certificate is not checked (tls.verify = false)"]


def test_a_client_certificate(step):
    cert, key = os.environ["RUNBOOK_LAB_CERT"], os.environ["RUNBOOK_LAB_KEY"]
    assert error(step('http.get(u .. "client", { tls = ca })'))["message"].endswith("expected status 200 to 299, got 403")
    assert result(step(f'ca.cert, ca.key = "{cert}", "{key}" return http.get(u .. "client", {{ tls = ca }}).body')) == "CN=runbook-lab-client\n"


def test_basic_authentication_with_a_secret(step):
    done = step('return http.get(u .. "private/x", { tls = ca, user = "app", password = p.pw }).body')
    assert result(done) == "hello from nginx\n"
    assert step.password not in done.out + done.err
    assert "got 401" in error(step('http.get(u .. "private/x", { tls = ca, user = "app", password = "wrong" })'))["message"]


def test_a_token_stays_with_its_host(step):
    assert result(step('return http.get(u .. "bearer", { tls = ca, bearer = "abcd-efgh" }).body')) == "Bearer abcd-efgh"
    assert result(step('return http.get(u .. "there", { tls = ca }).body')) == "hello from nginx\n"
    assert result(step('return http.get(u .. "away", { tls = ca, bearer = "abcd-efgh" }).body')) == ""  # localhost to 127.0.0.1
    refused = error(step('http.get(u .. "away", { tls = ca })', hosts=["localhost"]))
    assert refused["kind"] == "permission"
    both = error(step('http.get(u, { bearer = "x", user = "y" })'))
    assert both["message"].endswith("only one of bearer, user and an Authorization header")


def test_a_download_is_whole_or_not_there(step):
    digest = hashlib.sha256(b"hello from nginx\n").hexdigest()
    got = result(step(f'return http.download(u .. "hello.txt", d .. "a.txt", {{ tls = ca, sha256 = "{digest}" }})'))
    assert (got["bytes"], got["sha256"], got["resumed_from"]) == (17, digest, 0)
    assert (step.folder / "a.txt").read_text() == "hello from nginx\n"
    failed = error(step('http.download(u .. "health.json", d .. "a.txt", { tls = ca, sha256 = ("0"):rep(64) })'))
    assert failed["kind"] == "http.digest"
    other = Path(os.environ["RUNBOOK_LAB_DIR"], "nginx", "data", "www", "health.json").read_bytes()
    assert f"is {hashlib.sha256(other).hexdigest()}, expected 000" in failed["message"]
    assert (step.folder / "a.txt").read_text() == "hello from nginx\n"
    assert error(step('http.download(u .. "no-such", d .. "b.txt", { tls = ca })'))["kind"] == "http.status"
    assert error(step('http.download(u .. "hello.txt", d .. "b.txt", { tls = ca, resume = true })'))["message"].endswith("resume wants sha256")
    assert error(step('http.download(u .. "hello.txt", ("/var/tmp/b.txt"):lower(), { tls = ca })'))["kind"] == "permission"
    assert sorted(f.name for f in step.folder.iterdir()) == ["a.txt"]


def test_a_download_goes_on_where_it_stopped(step):
    whole = Path(os.environ["RUNBOOK_LAB_DIR"], "nginx", "data", "www", "large.bin").read_bytes()
    digest = hashlib.sha256(whole).hexdigest()
    (step.folder / "l.bin.partial").write_bytes(whole[:5_000_000])
    got = result(step(f'return http.download(u .. "large.bin", d .. "l.bin", {{ tls = ca, sha256 = "{digest}", resume = true }})'))
    assert (got["bytes"], got["resumed_from"]) == (len(whole), 5_000_000)
    assert (step.folder / "l.bin").read_bytes() == whole
    (step.folder / "l.bin").unlink()
    (step.folder / "l.bin.partial").write_bytes(b"x" * 1000)  # of something else
    failed = error(step(f'http.download(u .. "large.bin", d .. "l.bin", {{ tls = ca, sha256 = "{digest}", resume = true }})'))
    assert failed["kind"] == "http.digest"
    assert list(step.folder.iterdir()) == []


class Faults(http.server.BaseHTTPRequestHandler):
    """/break sends half a body the first time, and honours Range; everything else is echoed."""

    protocol_version = "HTTP/1.1"
    body = bytes(range(256)) * 400
    seen = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        Faults.seen.append((self.command, self.path, self.headers.get("Range")))
        begin = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(self.body) - 1}/{len(self.body)}")
        self.send_header("Content-Length", str(len(self.body) - begin))
        self.end_headers()
        half = len(self.seen) == 1 and self.path == "/break"
        self.wfile.write(self.body[begin:len(self.body) // 2 if half else None])
        self.close_connection = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Faults.seen.append((self.command, self.path, self.headers.get("Content-Type"), body))
        status = 503 if self.path == "/busy" and len(self.seen) < 3 else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def faults():
    Faults.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faults)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_broken_transfer_is_repeated_or_continued(step, faults):
    digest = hashlib.sha256(Faults.body).hexdigest()
    got = result(step(f"""return http.download("{faults}break", d .. "x", {{ sha256 = "{digest}", resume = true,
                           retry = {{ attempts = 3, initial = "1ms" }} }})"""))
    assert (got["attempts"], got["bytes"]) == (2, len(Faults.body))
    assert Faults.seen[1][2] == f"bytes={len(Faults.body) // 2}-"
    Faults.seen = []
    got = result(step(f'return http.download("{faults}break", d .. "y", {{ retry = {{ attempts = 3, initial = "1ms" }} }})'))
    assert (got["attempts"], got["sha256"]) == (2, digest)
    assert Faults.seen[1][2] is None
    Faults.seen = []
    failed = error(step(f'http.download("{faults}break", d .. "z")'))
    assert failed["message"] == f"GET {faults}break: the connection ended in the middle of the body"
    assert sorted(f.name for f in step.folder.iterdir()) == ["x", "y"]


def test_forms_with_files_and_uploads(step, faults):
    (step.folder / "report.txt").write_text("the report")
    result(step(f"""http.post("{faults}form", {{ multipart = {{ title = "of today",
                      report = {{ file = d .. "report.txt", name = "r.txt", type = "text/plain" }} }} }})"""))
    _, _, kind, body = Faults.seen[0]
    assert kind.startswith("multipart/form-data; boundary=")
    text = body.decode()
    assert 'name="title"\r\n\r\nof today\r\n' in text
    assert 'name="report"; filename="r.txt"\r\nContent-Type: text/plain\r\n\r\nthe report\r\n' in text
    result(step(f'http.post("{faults}up", {{ file = d .. "report.txt" }})'))
    assert Faults.seen[1][2:] == ("application/octet-stream", b"the report")
    assert error(step(f'http.post("{faults}up", {{ file = "/etc/passwd" }})'))["kind"] == "permission"
    assert error(step(f'http.post("{faults}up", {{ file = d .. "none" }})'))["message"].endswith("none: no such file or directory")


def test_what_is_not_idempotent_is_repeated_only_when_told(step, faults):
    failed = error(step(f'http.post("{faults}busy", {{ retry = {{ attempts = 3 }} }})'))
    assert failed["message"] == f"POST {faults}busy: POST is not idempotent and is not repeated"
    assert Faults.seen == []
    got = result(step(f'return http.post("{faults}busy", {{ retry = {{ attempts = 3, initial = "1ms", unsafe = true }} }}).attempts'))
    assert got == 3


def test_a_proxy_is_used_and_must_be_allowed(step, faults):
    result(step(f'http.get("http://nowhere.invalid/x", {{ proxy = {{ url = "{faults}" }}, any_status = true }})',
                hosts=["nowhere.invalid", "127.0.0.1"]))
    assert Faults.seen[0][1] == "http://nowhere.invalid/x"
    refused = error(step(f'http.get("http://nowhere.invalid/x", {{ proxy = {{ url = "{faults}" }} }})', hosts=["nowhere.invalid"]))
    assert refused["kind"] == "permission"
    done = step(f'return http.get("{faults}x", {{ proxy = {{ url = "none" }} }}).status', http_proxy="http://127.0.0.1:1")
    assert result(done) == 200  # the environment's proxy is left out


def test_too_many_requests_wait_as_long_as_asked(step):
    got = result(step("""
        local function one() return http.get(u .. "limited", { tls = ca, retry = { attempts = 8, initial = "300ms", statuses = { 429 } } }).attempts end
        local all = parallel { one, one, one }
        return math.max(all[1], all[2], all[3])"""))
    assert got > 1

"""Stand-ins for Slack, PagerDuty and Statuspage, written from their public API documents, and a real SMTP server (aiosmtpd).

Each keeps the state that the provider would keep, refuses what its documents say it refuses, and fails as it is told to: `faults` gives
for each request None or one of
  (status, headers)   answers that instead (429 with Retry-After, 500, 503), nothing is done
  "lost"              does it, and closes the connection without an answer
  "slow"              does it, and answers after the client's patience
  "page"              answers 200 with a page of HTML, as a proxy does; nothing is done
None of the real services has been asked.
"""
import email
import email.policy
import http.server
import json
import ssl
import subprocess
import threading
import time

import pytest

SLOW = 1.5  # longer than the `timeout` of the channels in the tests


class StandIn:
    def __init__(self):
        self.lock, self.faults, self.requests = threading.Lock(), lambda number: None, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                size = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(size)
                with outer.lock:
                    outer.requests.append((time.monotonic(), self.command, self.path, dict(self.headers), text))
                    fault = outer.faults(len(outer.requests))
                    if isinstance(fault, tuple):
                        answer = (fault[0], fault[1], b"")
                    elif fault == "page":
                        answer = (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
                    else:
                        try:
                            body = json.loads(text) if text else None
                            status, reply, *headers = outer.act(self.command, self.path, self.headers, body)
                        except ValueError:
                            status, reply, headers = 400, {"error": "invalid JSON"}, []
                        answer = (status, headers[0] if headers else {}, json.dumps(reply).encode())
                if fault == "lost":
                    self.close_connection = True
                    return
                if fault == "slow":
                    time.sleep(SLOW)
                try:
                    self.send_response(answer[0])
                    for name, value in answer[1].items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer[2])))
                    self.end_headers()
                    self.wfile.write(answer[2])
                except OSError:
                    pass  # the client has gone

            do_POST = do_PATCH = do_GET = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class PagerDuty(StandIn):
    """Events API v2. `incidents`: dedup_key = {status, log: [(action, summary)]}."""

    KEY = "b5f1c0ffee5e11f00dfeedfacecafe42"

    def __init__(self):
        super().__init__()
        self.incidents = {}

    def act(self, method, path, headers, body):
        if (method, path) != ("POST", "/v2/enqueue"):
            return 404, {}
        errors = []
        action, payload = body.get("event_action"), body.get("payload") or {}
        if body.get("routing_key") != self.KEY:
            errors.append("'routing_key' is invalid")
        if action not in ("trigger", "acknowledge", "resolve"):
            errors.append("'event_action' is invalid")
        if action != "trigger" and not body.get("dedup_key"):
            errors.append("'dedup_key' is missing or blank")
        if action == "trigger":
            for name in ("summary", "source", "severity"):
                if not payload.get(name):
                    errors.append(f"'payload.{name}' is missing or blank")
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                errors.append("'payload.severity' is invalid")
            if len(payload.get("summary", "")) > 1024:
                errors.append("'payload.summary' is too long")
        if len(body.get("dedup_key", "")) > 255:
            errors.append("'dedup_key' is too long")
        if errors:
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        key = body["dedup_key"]
        known = self.incidents.get(key)
        if action == "trigger" and (not known or known["status"] == "resolved"):
            known = self.incidents.setdefault(key, {"log": [], "opened": 0})
            known["status"] = "triggered"
            known["opened"] += 1
        if known:
            known["log"].append((action, payload.get("summary"), payload.get("severity"), payload.get("custom_details")))
            if action != "trigger" and known["status"] != "resolved":
                known["status"] = {"acknowledge": "acknowledged", "resolve": "resolved"}[action]
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}


class Slack(StandIn):
    """chat.postMessage, at most one message a second and channel. `posts`: what is in the channel, in order."""

    TOKEN = "xoxb-2417-1183-Qf9wTestToken"

    def __init__(self, limit=True):
        super().__init__()
        self.posts, self.limit, self.last, self.refusals = [], limit, {}, 0

    def act(self, method, path, headers, body):
        if (method, path) != ("POST", "/chat.postMessage"):
            return 404, {"ok": False, "error": "unknown_method"}
        if headers.get("Authorization") != f"Bearer {self.TOKEN}":
            return 200, {"ok": False, "error": "invalid_auth"}
        if body.get("channel") not in ("C0MIGRATE", "#migration"):
            return 200, {"ok": False, "error": "channel_not_found"}
        if not body.get("text"):
            return 200, {"ok": False, "error": "no_text"}
        thread = body.get("thread_ts")
        if thread and all(post["ts"] != thread for post in self.posts):
            return 200, {"ok": False, "error": "thread_not_found"}
        now = time.monotonic()
        if self.limit and now - self.last.get(body["channel"], -10) < 0.99:
            self.refusals += 1
            return 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"}
        self.last[body["channel"]] = now
        ts = f"1700000000.{len(self.posts) + 1:06}"
        self.posts.append({"ts": ts, **body})
        return 200, {"ok": True, "channel": "C0MIGRATE", "ts": ts, "message": {"text": body["text"], "type": "message"}}


class Statuspage(StandIn):
    """Incidents of one page. `incidents`: a list, newest first, as the API gives them."""

    TOKEN, PAGE = "status-9d1f-test-api-key", "kctbh9vrtdwd"
    STATES = {"investigating", "identified", "monitoring", "resolved", "scheduled", "in_progress", "verifying", "completed"}

    def __init__(self):
        super().__init__()
        self.incidents, self.components = [], {}

    def act(self, method, path, headers, body):
        if headers.get("Authorization") != f"OAuth {self.TOKEN}":
            return 401, {"error": "Could not authenticate"}
        place, _, _ = path.partition("?")
        start = f"/pages/{self.PAGE}/incidents"
        if not place.startswith(start):
            return 404, {"error": "not found"}
        rest = place[len(start):].strip("/")
        if method == "GET" and not rest:
            return 200, self.incidents
        known = next((one for one in self.incidents if one["id"] == rest), None)
        if rest and not known:
            return 404, {"error": "not found"}
        if method == "GET":
            return 200, known
        given = body["incident"]
        if "status" in given and given["status"] not in self.STATES:
            return 422, {"error": ["Status is not included in the list"]}
        if any(not isinstance(value, dict) for value in given.get("metadata", {}).values()):
            return 422, {"error": ["All top level values of metadata must be objects"]}
        if method == "POST":
            if not given.get("name"):
                return 422, {"error": ["Name can't be blank"]}
            known = {"id": f"inc{len(self.incidents) + 1}", "incident_updates": [], "metadata": {}, "status": "investigating"}
            self.incidents.insert(0, known)
        for name in ("name", "status", "metadata", "impact_override", "scheduled_for", "scheduled_until"):
            if name in given:
                known[name] = given[name]
        self.components.update(given.get("components", {}))
        if given.get("body"):
            known["incident_updates"].insert(0, {"body": given["body"], "status": known["status"]})
        return 201 if method == "POST" else 200, known


class Mail:
    """A real SMTP server with STARTTLS and a login. `mails`: parsed messages; `envelopes`: (from, to). `faults` as above, by the number of the
    message: (code, text) refuses it, "lost" takes it and closes the connection."""

    USER, PASSWORD = "ops", "Pw7-of-the-mail-test"

    def __init__(self, folder, starttls=True):
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult

        self.ca = folder / "mail-ca.pem"
        key, config = folder / "mail-key.pem", folder / "mail.cnf"
        config.write_text("[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN=localhost\n[v3]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
                          "basicConstraints=critical,CA:true\n", encoding="utf-8")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-config", config,
                        "-keyout", key, "-out", self.ca], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self.mails, self.envelopes, self.faults, self.count, self.plain = [], [], lambda number: None, 0, []
        outer = self

        class Handler:
            async def handle_RCPT(self, server, session, envelope, address, options):
                if address.startswith("nobody@"):
                    return "550 5.1.1 no such user here"
                envelope.rcpt_tos.append(address)
                return "250 OK"

            async def handle_DATA(self, server, session, envelope):
                outer.count += 1
                fault = outer.faults(outer.count)
                if isinstance(fault, tuple):
                    return f"{fault[0]} {fault[1]}"
                outer.plain.append(envelope.content)
                outer.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
                outer.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos), bool(session.ssl)))
                if fault == "lost":
                    server.transport.abort()
                return f"250 2.0.0 Ok: queued as Q{outer.count}"

        def login(server, session, envelope, mechanism, data):
            right = data.login == outer.USER.encode() and data.password == outer.PASSWORD.encode()
            return AuthResult(success=right, handled=right)

        options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": login} if starttls else {}
        class OnAnyPort(Controller):
            def _trigger_server(self):  # asks the server once: at the port that it got
                self.port = self.server.sockets[0].getsockname()[1]
                super()._trigger_server()

        self.controller = OnAnyPort(Handler(), hostname="127.0.0.1", port=0, **options)
        self.controller.start()
        self.port = self.controller.port

    def texts(self):
        return [mail.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip("\n") for mail in self.mails]

    def stop(self):
        self.controller.stop()


def stopped(made):
    yield made
    made.stop()


@pytest.fixture
def pagerduty():
    yield from stopped(PagerDuty())


@pytest.fixture
def slack():
    yield from stopped(Slack())


@pytest.fixture
def statuspage():
    yield from stopped(Statuspage())


@pytest.fixture
def mail(tmp_path):
    yield from stopped(Mail(tmp_path))


def settings(**of):
    """runbook.toml with the stand-ins that are given, and the environment of its secrets."""
    text, env = "", {}
    if "pagerduty" in of:
        text += f'[channels.pager]\ntype = "pagerduty"\nkey = "env:PAGER_KEY"\napi = "{of["pagerduty"].url}"\ntimeout = "1s"\n'
        env["PAGER_KEY"] = PagerDuty.KEY
    if "slack" in of:
        text += f'[channels.chat]\ntype = "slack"\ntoken = "env:SLACK_TOKEN"\nchannel = "#migration"\napi = "{of["slack"].url}"\ntimeout = "1s"\n'
        env["SLACK_TOKEN"] = Slack.TOKEN
    if "statuspage" in of:
        text += (f'[channels.status_page]\ntype = "statuspage"\ntoken = "env:STATUS_TOKEN"\npage = "{Statuspage.PAGE}"\ncomponents = ["web"]\n'
                 f'api = "{of["statuspage"].url}"\ntimeout = "1s"\nrate = "50/s"\n')
        env["STATUS_TOKEN"] = Statuspage.TOKEN
    if "mail" in of:
        text += (f'[channels.mail]\ntype = "smtp"\nhost = "localhost"\nport = {of["mail"].port}\nfrom = "Ops <ops@example.com>"\n'
                 f'to = ["team@example.com", "lead@example.com"]\nuser = "ops"\npassword = "env:MAIL_PASSWORD"\nca = "{of["mail"].ca}"\ntimeout = "3s"\n')
        env["MAIL_PASSWORD"] = Mail.PASSWORD
    return text, env

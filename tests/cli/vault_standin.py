"""A stand-in for HashiCorp Vault, which cannot run here: the part of its HTTP API that runbook uses, written from the public
API documents (developer.hashicorp.com/vault/api-docs), with their error answers. And one for the `aws` command."""
import http.server
import json
import os
import sys
import threading
import time
import uuid

import pytest

TOKEN = "hvs.standin-root-token-1"
ROLE, SECRET_ID = "5e1f0c7a-role", "9b2d-secret-id-of-approle"


class Vault:
    """`kv` maps KV 2 paths to data, `roles` dynamic credentials to their lease length. `fail` maps a path to a list of answers that
    come first: (status, body as text), or seconds to wait. `log` has (method, path) of each request, `live` the leases."""

    def __init__(self):
        self.kv, self.roles, self.fail, self.log, self.live = {}, {}, {}, [], {}
        self.sealed, self.tokens, self.lock, self.issued, self.renewals = False, {TOKEN}, threading.Lock(), [], 0
        vault = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                size = int(self.headers["Content-Length"] or 0)
                body = json.loads(self.rfile.read(size)) if size else {}
                path = self.path.removeprefix("/v1/")
                with vault.lock:
                    vault.log.append((self.command, path))
                    planned = vault.fail.get(path) or []
                    first = planned.pop(0) if planned else None
                if isinstance(first, (int, float)):
                    time.sleep(first)
                    first = None
                status, text = first or vault.serve(self.command, path, body, self.headers)
                if not isinstance(text, str):
                    text = json.dumps(text)
                data = b"" if status == 204 else text.encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # who asked has gone

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, method, path, body, headers):
        with self.lock:
            if self.sealed:
                return 503, {"errors": ["Vault is sealed"]}
            if path == "auth/approle/login" and method == "POST":
                if (body.get("role_id"), body.get("secret_id")) != (ROLE, SECRET_ID):
                    return 400, {"errors": ["invalid role or secret ID"]}
                token = "hvs.login-" + uuid.uuid4().hex
                self.tokens.add(token)
                return 200, {"auth": {"client_token": token, "accessor": "x", "policies": ["app"], "lease_duration": 3600, "renewable": True}}
            if headers["X-Vault-Token"] not in self.tokens:
                return 403, {"errors": ["permission denied"]}
            if path == "auth/token/revoke-self":
                self.tokens.discard(headers["X-Vault-Token"])
                return 204, ""
            if path == "auth/token/renew-self":
                return 200, {"auth": {"client_token": headers["X-Vault-Token"], "lease_duration": 3600, "renewable": True}}
            if path == "sys/leases/renew" and method == "PUT":
                if body["lease_id"] not in self.live:
                    return 400, {"errors": ["lease not found"]}
                self.renewals += 1
                return 200, {"lease_id": body["lease_id"], "renewable": True, "lease_duration": self.live[body["lease_id"]]}
            if path == "sys/leases/revoke" and method == "PUT":
                self.live.pop(body["lease_id"], None)
                return 204, ""
            if path in self.roles and method == "GET":
                lease, number = f"{path}/{uuid.uuid4().hex}", len(self.issued) + 1
                data = {"username": f"v-app-{number}-{uuid.uuid4().hex[:8]}", "password": "dyn-" + uuid.uuid4().hex}
                self.live[lease] = self.roles[path]
                self.issued.append(data)
                return 200, {"lease_id": lease, "renewable": True, "lease_duration": self.roles[path], "data": data}
            if path in self.kv and method == "GET":
                data = self.kv[path]
                return (200 if data else 404), {"lease_id": "", "renewable": False, "lease_duration": 0,
                                                "data": {"data": data, "metadata": {"version": 3, "deletion_time": "" if data else "2026-01-01T00:00:00Z"}}}
            return 404, {"errors": []}

    def asked(self, path):
        with self.lock:
            return sum(1 for _, one in self.log if one == path)

    def env(self, **more):
        return {"VAULT_ADDR": self.url, "VAULT_TOKEN": TOKEN, **more}


@pytest.fixture
def vault():
    made = Vault()
    yield made
    made.server.shutdown()
    made.server.server_close()


AWS = """#!%s
import json, os, sys, time
plan = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "plan.json")))
assert sys.argv[1:3] == ["secretsmanager", "get-secret-value"] and sys.argv[-2:] == ["--output", "json"], sys.argv
name = sys.argv[sys.argv.index("--secret-id") + 1]
entry = plan.get(name, {"code": "ResourceNotFoundException", "text": "Secrets Manager can't find the specified secret."})
time.sleep(entry.get("wait", 0))
if "code" in entry:
    sys.exit("\\nAn error occurred (%%s) when calling the GetSecretValue operation: %%s" %% (entry["code"], entry["text"]))
if "raw" in entry:
    print(entry["raw"])
    sys.exit(entry.get("exit", 0))
print(json.dumps({"ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + name, "Name": name, **entry}, indent=4))
"""


class Aws:
    """`plan` maps a secret's name to what the stand-in program answers: its members of the answer, or {code, text}, or {raw}."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        program = folder / "aws"
        program.write_text(AWS % sys.executable, encoding="utf-8")
        program.chmod(0o755)
        self.plan({})

    def plan(self, entries):
        (self.folder / "plan.json").write_text(json.dumps(entries), encoding="utf-8")

    def env(self, **more):
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", **more}


@pytest.fixture
def aws(tmp_path):
    return Aws(tmp_path / "aws-stand-in")

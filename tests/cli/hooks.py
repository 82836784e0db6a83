"""What tests of messages share: a receiver of webhooks, and the channels that lead to it."""
import http.server
import json
import sqlite3
import threading
import time

import pytest


class Hook:
    """A receiver of webhooks; `status` is what it answers, `posts` what it got: (path, key, body)."""

    def __init__(self):
        self.posts, self.status, self.lock = [], 200, threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with hook.lock:
                    hook.posts.append((self.path, self.headers["Idempotency-Key"], body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def texts(self, path=None):
        with self.lock:
            return [body["text"] for where, _, body in self.posts if path in (None, where)]

    def wait(self, test, timeout=20):
        deadline = time.monotonic() + timeout
        while not test(self):
            assert time.monotonic() < deadline, self.posts
            time.sleep(0.02)


@pytest.fixture
def hook():
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def channels(path, hook, more=""):
    names = ["migration", "general", "status_page"]
    text = "".join(f'[channels.{name}]\ntype = "webhook"\nurl = "{hook.url}/{name}"\nattempts = 1\n' for name in names)
    (path.parent / "runbook.toml").write_text(text + more, encoding="utf-8")


def refused(runbook, path, *more):
    result = runbook("exec", path.name, *more, cwd=path.parent)
    assert result.exit == 2, result
    assert not runbook.journal.exists() or not sqlite3.connect(runbook.journal).execute("select count(*) from runs").fetchone()[0]
    return result.err


def wait_for(test, timeout=20):
    deadline = time.monotonic() + timeout
    while not test():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)

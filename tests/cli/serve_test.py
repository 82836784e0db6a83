"""runbook serve, asked over real HTTP: who may ask and how, where it listens, what happens when the journal is not as it should be, and that
it ends without leaving anything."""
import base64
import hashlib
import re
import signal
import socket
import sqlite3
import stat
import time
from urllib.parse import quote

import pytest

from served import PATHS, Served, metrics, refused, serve, shop  # noqa: F401


# --- who may ask, and how -------------------------------------------------------------------------------------------


def test_without_the_token_every_path_says_the_same(serve, shop):
    served = serve()
    token = served.token
    wrong = [{}, {"Authorization": token}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {token[:-1]}"},
             {"Authorization": f"Bearer {token}0"}, {"Authorization": f"Bearer {token} x"}, {"Authorization": f"Digest {token}"}, {"Cookie": f"token={token}"},
             {"Authorization": "Basic %%%"}, {"Authorization": "Basic " + base64.b64encode(b"runbook:no").decode()},
             {"Authorization": "Basic " + base64.b64encode(f"{token}:".encode()).decode()}]
    for path in PATHS:
        for headers in wrong if path == "/metrics" else wrong[:1]:
            answer = served.ask(path, headers=headers)
            assert (answer.status, answer.body) == (401, "unauthorized\n"), (path, headers)
            assert answer.header("WWW-Authenticate") == ['Bearer realm="runbook"', 'Basic realm="runbook", charset="UTF-8"']
    assert served.ask(f"/metrics?token={token}&access_token={token}", headers={}).status == 401
    assert served.ask("/metrics", method="POST", headers={}, body="x" * 100_000).status == 401
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    for headers in ({"Authorization": f"Bearer {token}"}, {"authorization": f"bearer {token}"}, {"Authorization": f"Basic {basic}"}):
        assert served.ask("/health", headers=headers).status == 200


def test_only_looking_is_possible(serve, shop):
    served = serve()
    for path in PATHS:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "RESUME"):
            answer = served.ask(path, method=method, body="{}" if method in ("POST", "PUT", "PATCH") else None)
            assert (answer.status, answer.body) == (405, "only GET and HEAD: nothing can be changed here\n"), (path, method)
            assert answer.header("Allow") == ["GET, HEAD"]
    for path in PATHS:
        got, head = served.ask(path), served.ask(path, method="HEAD")
        assert (head.status, head.body) == (got.status, "")
        assert head.header("Content-Type") == got.header("Content-Type")
        assert int(head.header("Content-Length")[0]) > 0
    for path in ("/nothing", "/runs/", "/runs", "/health/", "/api", "/../etc/passwd", "/runs/../../etc/passwd", "/%2e%2e/etc/passwd"):
        assert served.ask(path).status == 404, path


def test_no_answer_is_kept_framed_or_guessed_at(serve, shop):
    served = serve()
    for path in PATHS:
        answer = served.ask(path)
        assert answer.header("Cache-Control") == ["no-store"]
        assert answer.header("X-Content-Type-Options") == ["nosniff"]
        assert answer.header("Referrer-Policy") == ["no-referrer"]
        policy = answer.header("Content-Security-Policy")[0]
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';") and "frame-ancestors 'none'" in policy and "script" not in policy


def test_a_token_is_made_once_for_this_user_alone(serve, shop, runbook):
    served = serve()
    file = runbook.state / "runbook" / "serve.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", file.read_text())
    served.stop()
    assert serve().token == served.token
    assert [path.name for path in file.parent.iterdir() if "partial" in path.name] == []


def test_a_token_file_must_be_one(runbook, shop, tmp_path):
    file = tmp_path / "token"
    refused(runbook("serve", "--token-file", file), f"token file {file}: No such file or directory",
            "without --token-file one is made, which only this user may read")
    file.write_text("a-token-of-some-length\n")
    file.chmod(0o640)
    refused(runbook("serve", "--token-file", file), f"token file {file}: others may read or write it (mode 640)",
            f"chmod 600 {file}, and change the token if somebody has")
    file.chmod(0o600)
    file.write_text("short\n")
    refused(runbook("serve", "--token-file", file), f"token file {file}: its token has fewer than 16 characters",
            "openssl rand -hex 32 makes one that cannot be guessed")
    file.write_text("two words of some length")
    refused(runbook("serve", "--token-file", file), f"token file {file}: a token is one word without blanks and colons", "openssl rand -hex 32 makes one")
    file.write_text("x" * 5000)
    refused(runbook("serve", "--token-file", file), f"token file {file}: longer than 4096 bytes: that is no token")
    refused(runbook("serve", "--token-file", tmp_path), f"token file {tmp_path}: is no file")


def test_a_token_of_ones_own(serve, shop, tmp_path):
    file = tmp_path / "token"
    file.write_text("  my-own-token-0123456789\n")
    file.chmod(0o600)
    served = serve(token_file=file)
    assert served.token == "my-own-token-0123456789" and served.ask("/health").status == 200


# --- where it listens -----------------------------------------------------------------------------------------------


def test_where_it_cannot_listen_is_said(runbook, shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(runbook("serve", "--listen", f"127.0.0.1:{port}"), f"--listen 127.0.0.1:{port}: Address already in use",
                f"another process has it: ss -ltnp 'sport = :{port}' names it; or give another port")
    remedy = "listen on 127.0.0.1 behind a proxy with TLS; or say --beyond-loopback"
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:7411"):
        refused(runbook("serve", "--listen", address), f"--listen {address}: other hosts could reach it, and what is served is not encrypted", remedy)
    refused(runbook("serve", "--listen", "192.0.2.1:7411", "--beyond-loopback"), "--listen 192.0.2.1:7411: Cannot assign requested address",
            "this host has no such address: `ip address` lists its own")
    like = "for example 127.0.0.1:7411 or [::1]:7411"
    refused(runbook("serve", "--listen", "db.example.com:80"), "--listen db.example.com:80: an IP address expected", like)
    refused(runbook("serve", "--listen", "7411"), "--listen: '7411' is no address: the port is missing", like)
    refused(runbook("serve", "--listen", "127.0.0.1:99999"), "--listen: '127.0.0.1:99999' is no address: the port is a number from 1 to 65535", like)


def test_beyond_the_loopback_is_warned_of(runbook, shop):
    run = runbook.start("serve", "--listen", "0.0.0.0:0", "--beyond-loopback")
    assert re.fullmatch(r"serving journal .* on http://0\.0\.0\.0:\d+/\n", run.process.stdout.readline())
    run.process.send_signal(signal.SIGTERM)
    result = run.finish()
    assert result.exit == 0
    assert result.err == ("warning: other hosts reach it, and neither the token nor the answers are encrypted: put a proxy with TLS before it\n")


def test_it_answers_over_ipv6(runbook, shop):
    run = runbook.start("serve", "--listen", "[::1]:0")
    served = Served(runbook, run, runbook.state / "runbook" / "serve.token")
    assert served.url.startswith("http://[::1]:") and served.ask("/health").status == 200


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_although_somebody_is_connected_and_a_database_is_silent(serve, shop, runbook, tmp_path, how):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(30)
        (tmp_path / "runbook.toml").write_text(f'[connections]\nsilent = "postgres://anna@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=120"\n')
        served = serve("--config", tmp_path)
        idle = socket.create_connection((served.host, served.port))
        half = socket.create_connection((served.host, served.port))
        half.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        waiting = socket.create_connection((served.host, served.port))
        waiting.sendall(f"GET /api/database/health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n\r\n".encode())
        asked, _ = silent.accept()  # it asks the database by now
        began = time.monotonic()
        result = served.stop(how)
        took = time.monotonic() - began
        assert (result.exit, result.err) == (0, "")
        assert took < 30, took  # the database has two minutes
        for connection in (idle, half, waiting, asked):
            connection.close()
    with socket.socket() as again:  # the port is free
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((served.host, served.port))


def test_a_broken_request_does_not_end_it(serve, shop):
    served = serve()
    for garbage in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G" * 100_000, b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
                    b"GET /runs/%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
        with socket.create_connection((served.host, served.port)) as raw:
            try:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
            except OSError:
                pass
    assert served.ask("/health").status == 200
    assert served.ask("/runs/" + quote("\x00\xff '\"<>")).status == 404
    result = served.stop()
    assert (result.exit, result.err) == (0, "")


# --- the journal ----------------------------------------------------------------------------------------------------


def test_without_a_journal_it_does_not_start(runbook, tmp_path):
    refused(runbook("serve"), f"there is no journal at {runbook.journal}", "a first `runbook exec` makes it; --journal names another")
    assert not runbook.state.exists()  # no token either
    other = tmp_path / "x.db"
    other.write_text("this is no database, and long enough to be looked at as one" * 100)
    result = runbook("serve", "--journal", other)
    assert result.exit == 2 and f"journal {other}" in result.err.splitlines()[0]


def test_a_journal_that_goes_and_comes_back(serve, shop, runbook):
    served = serve()
    assert served.ask("/health").json() == {"status": "ok", "version": runbook("version").out.split()[1], "journal": str(runbook.journal)}
    away = runbook.journal.with_name("away.db")
    runbook.journal.rename(away)
    for path in ("/health", "/api/migration-status"):
        answer = served.ask(path)
        assert answer.status == 503
        assert answer.json() == {"status": "failing", "error": {"kind": "usage", "message": f"there is no journal at {runbook.journal}",
                                                                "hint": "a first `runbook exec` makes it; --journal names another"}}
    for path in ("/", "/runs/first"):
        answer = served.ask(path)
        assert (answer.status, answer.body) == (503, f"there is no journal at {runbook.journal}\n")
    answer = served.ask("/metrics")  # says itself that nothing is known: no sample of a run is left that could look healthy
    samples = metrics(answer.body)
    assert answer.status == 200 and samples["runbook_journal_readable"] == {(): 0.0}
    assert not [name for name in samples if name.startswith(("runbook_runs", "runbook_last"))]
    away.rename(runbook.journal)
    assert served.ask("/health").status == 200
    assert metrics(served.ask("/metrics").body)["runbook_runs"] == {(("playbook", "shop"), ("state", "succeeded")): 1.0}


def test_a_locked_journal_is_said(serve, shop, runbook):
    served = serve()
    lock = sqlite3.connect(runbook.journal, isolation_level=None)
    lock.execute("pragma locking_mode = exclusive")
    lock.execute("begin immediate")
    lock.execute("update runs set updated = updated")
    answer = served.ask("/health")
    lock.execute("rollback")
    lock.close()
    assert answer.status == 503
    problem = answer.json()["error"]
    assert problem["kind"] == "journal" and str(runbook.journal) in problem["message"] and "locked" in problem["message"]
    assert served.ask("/health").status == 200


def test_it_writes_nothing(serve, shop, runbook):
    served = serve()

    def content():
        return hashlib.sha256(b"".join(repr(row).encode() for table in ("runs", "events", "requests", "locks")
                                       for row in sqlite3.connect(f"file:{runbook.journal}?mode=ro", uri=True).execute(f"select * from {table}"))).hexdigest()

    before = content()
    for path in PATHS:
        served.ask(path)
        served.ask(path, method="POST", body="{}")
    assert content() == before

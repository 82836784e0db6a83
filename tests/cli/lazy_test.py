"""Client libraries are loaded on first use: not by a start, by whoever needs one, and a missing one is named."""
import http.server
import re
import sqlite3
import stat
import threading

import pytest
from conftest import lab_url

CLIENTS = re.compile(r"lib(pq|mariadb|mysqlclient|curl|edit|gnutls|ldap|krb5|ssh2)[.-]")
EMPTY = 'local p = playbook "empty" { summary = "x" }\n'


@pytest.fixture
def loaded(runbook, tmp_path):
    """Runs the program and returns how it ended and which client libraries the dynamic linker initialised."""

    def run(*args, **options):
        log = tmp_path / "linker"
        result = runbook(*args, env={"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": log}, **options)
        lines = "".join(path.read_text() for path in tmp_path.glob("linker.*"))
        for path in tmp_path.glob("linker.*"):
            path.unlink()
        found = {line.rsplit("/", 1)[-1].strip() for line in lines.splitlines() if "calling init:" in line}
        assert any(name.startswith("libluajit") for name in found), lines[:1000]  # the linker did tell
        return result, {name.split(".so")[0] for name in found if CLIENTS.match(name)}

    return run


@pytest.mark.parametrize("args", [["version"], ["--help"], ["check", "BOOK"], ["exec", "BOOK"], ["plan", "BOOK"]])
def test_a_start_loads_none(loaded, playbook, args):
    book = playbook(EMPTY)
    result, found = loaded(*[book if arg == "BOOK" else arg for arg in args])
    assert result.exit == 0, result.err
    assert found == set()


def query(playbook):
    return playbook("""
        local p = playbook "x" { summary = "x", params = { target = { "database", access = "read", required = true } } }
        step "ask" { undo = keep "x", run = function() expect.equal(db.value(p.target, "select 41 + 1"), 42) end }
    """)


@pytest.mark.parametrize("server, library", [("PG", "libpq"), ("MYSQL", "libmariadb|libmysqlclient"), ("MARIADB", "libmariadb|libmysqlclient")])
def test_a_query_loads_its_own(loaded, playbook, server, library):
    result, found = loaded("exec", query(playbook), "--target", lab_url(f"{server}_SCRATCH"))
    assert result.exit == 0, result.out + result.err
    clients = {name for name in found if re.fullmatch("libpq|libmariadb|libmysqlclient|libcurl|libedit", name)}
    assert len(clients) == 1 and re.fullmatch(library, clients.pop())


def test_sqlite_needs_none(loaded, playbook, tmp_path):
    sqlite3.connect(tmp_path / "x.db").close()
    result, found = loaded("exec", query(playbook), "--target", f"sqlite:{tmp_path}/x.db")
    assert (result.exit, found) == (0, set())


def test_a_request_loads_libcurl(loaded, playbook):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            result, found = loaded("exec", playbook(f"""
                local p = playbook "x" {{ summary = "x", needs = {{ http = {{ "127.0.0.1" }} }} }}
                step "ask" {{ undo = keep "x", run = function() expect.equal(http.get("http://127.0.0.1:{server.server_address[1]}/").status, 204) end }}
            """))
        finally:
            server.shutdown()
            thread.join()
    assert result.exit == 0, result.out + result.err
    assert "libcurl" in found and "libpq" not in found


def without(runbook, tmp_path, library):
    """The program as it would be on a machine without the library: it looks for a name that nobody has."""
    content = runbook.binary.read_bytes()
    names = set(re.findall(rb"lib" + library + rb"\.so\.\d+(?=\0)", content))
    assert len(names) == 1, names
    name = names.pop()
    copy = tmp_path / "runbook"
    copy.write_bytes(content.replace(name + b"\0", name[:-1] + b"X\0"))
    copy.chmod(copy.stat().st_mode | stat.S_IXUSR)
    runbook.binary = copy
    return (name[:-1] + b"X").decode()


def test_a_missing_library_is_named_before_anything_runs(runbook, playbook, tmp_path):
    name = without(runbook, tmp_path, b"pq")
    result = runbook("exec", query(playbook), "--target", "postgres://x@127.0.0.1:1/x?sslmode=disable")
    assert (result.exit, result.out) == (2, "")
    assert result.err == (f"error: cannot load {name}: cannot open shared object file: No such file or directory\n"
                          "hint: install it (on Debian: apt install libpqX)\n")


def test_and_nothing_else_needs_it(runbook, playbook, tmp_path):
    without(runbook, tmp_path, b"pq")
    sqlite3.connect(tmp_path / "x.db").close()
    result = runbook("exec", query(playbook), "--target", f"sqlite:{tmp_path}/x.db")
    assert result.exit == 0, result.err


def test_a_journal_on_a_server_without_its_library(runbook, playbook, tmp_path):
    name = without(runbook, tmp_path, b"pq")
    result = runbook("exec", playbook(EMPTY), "--journal", "postgres://x:y@127.0.0.1:1/x?sslmode=disable")
    assert result.exit == 2
    assert f"cannot load {name}:" in result.err and "apt install libpqX" in result.err

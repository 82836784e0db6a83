"""Backups in playbooks: SQLite without any server, PostgreSQL on the lab; nothing of a password is left anywhere."""
import json
import sqlite3
from urllib.parse import unquote, urlsplit

import pytest
from conftest import lab_url

PLAYBOOK = """
    local p = playbook "x" { summary = "x", needs = { files = { "backup/", "copy/" } },
      params = { source = { "database", access = "read", required = true, doc = "x" },
                 scratch = { "database", access = "write", doc = "x" } } }
    local dump = step "backup" { undo = keep "stays",
      run = function() return backup.create(p.source, { to = { "backup/", "copy/" }, name = "b1" }) end }
    step "prove" { undo = keep "scratch", run = function()
      return backup.test_restore(dump.result, p.scratch, { counts = db.counts(p.source) })
    end }
    step "newest" { run = function() return backup.latest(p.source, { from = { "copy/" }, restored = true }).file end }
"""


def results(result):
    return {e["step"]: e.get("result") for e in result.events() if e["event"] == "step.finished"}


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    database = sqlite3.connect(path)
    database.execute("create table orders(id integer primary key, what text)")
    database.executemany("insert into orders(what) values (?)", [(f"thing {i}",) for i in range(300)])
    database.commit()
    database.close()
    return path


def test_sqlite(runbook, playbook, shop):
    path = playbook(PLAYBOOK)
    result = runbook("exec", path.name, "--source", f"sqlite:{shop}", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    got = results(result)
    assert (got["backup"]["engine"], got["backup"]["tables"], got["backup"]["rows"], got["backup"]["verified"]) == ("SQLite", 1, 300, "read")
    assert got["prove"]["restored"] is True
    assert got["newest"] == str(path.parent / "copy" / "b1.sqlite")
    manifest = json.loads((path.parent / "backup" / "b1.sqlite.json").read_text())
    assert manifest["verified"] == "restored"


def test_a_backup_that_misses_rows_is_refused(runbook, playbook, shop):
    path = playbook(PLAYBOOK.replace("counts = db.counts(p.source)", "counts = { orders = 301 }"))
    result = runbook("exec", path.name, "--source", f"sqlite:{shop}", "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    error = [e for e in result.events() if e["event"] == "step.failed"][0]["error"]
    assert error["kind"] == "backup.unverified"
    assert error["message"] == f"test restore of {path.parent}/backup/b1.sqlite: orders: 300 rows instead of 301"


def test_postgresql(runbook, playbook):
    source, scratch = lab_url("PG_ADMIN"), lab_url("PG_SCRATCH")
    path = playbook(PLAYBOOK)
    result = runbook("exec", path.name, "--source", source, "--scratch", scratch, "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    assert results(result)["prove"]["restored"] is True
    for url in (source, scratch):
        password = unquote(urlsplit(url).password)
        assert password not in result.out + result.err
        for file in [runbook.journal, *(path.parent / "backup").iterdir()]:
            assert password.encode() not in file.read_bytes(), file

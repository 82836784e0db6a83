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


def test_the_command_makes_lists_checks_and_restores(runbook, shop, tmp_path):
    run = lambda *words: runbook("backup", *words, cwd=tmp_path)  # noqa: E731
    made = run("create", f"sqlite:{shop}", "--folder", "b", "--folder", "c", "--name", "one", "--output", "json")
    assert made.exit == 0, made
    backup = json.loads(made.out.splitlines()[-1])
    assert (backup["event"], backup["rows"], backup["files"]) == ("backup.finished", 300, [f"{tmp_path}/b/one.sqlite", f"{tmp_path}/c/one.sqlite"])
    file = "b/one.sqlite"
    assert run("verify", file).out == f"{tmp_path}/{file}: whole: digest as in its manifest, every byte read, 300 rows of 1 table\n"
    assert run("test-restore", file).out.startswith("restored and counted: 300 rows of 1 table, as in the backup, in 0:")
    restored = run("restore", file, "sqlite:new.db")
    assert restored.exit == 0, restored
    assert sqlite3.connect(tmp_path / "new.db").execute("select count(*) from orders").fetchone() == (300,)
    listed = run("list", "--folder", "b").out.splitlines()
    assert listed[0].split() == ["started", "size", "rows", "proof", "from", "file"]
    assert "restored and counted" in listed[1] and str(tmp_path / file) in listed[1]


def test_a_full_target_is_replaced_only_by_its_name(runbook, shop, tmp_path):
    run = lambda *words: runbook("backup", *words, cwd=tmp_path)  # noqa: E731
    run("create", f"sqlite:{shop}", "--folder", "b", "--name", "one")
    full = run("restore", "b/one.sqlite", f"sqlite:{shop}")
    assert (full.exit, full.err) == (2, f"error: sqlite:{shop} holds 1 table, and a restore would mix with them\n"
                                     "hint: restore into an empty database, or say replace = true; on the command line: "
                                     f"runbook backup restore b/one.sqlite sqlite:{shop} --replace {shop}\n")
    other = run("restore", "b/one.sqlite", f"sqlite:{shop}", "--replace", "yes")
    assert (other.exit, other.err.splitlines()[0]) == (2, f"error: --replace yes: the target's database is named '{shop}'")
    assert run("restore", "b/one.sqlite", f"sqlite:{shop}", "--replace", str(shop)).exit == 0


def test_prune_shows_what_it_would_do_before_it_does(runbook, shop, tmp_path):
    run = lambda *words: runbook("backup", *words, "--folder", "b", cwd=tmp_path)  # noqa: E731
    for name in ("one", "two", "three"):
        assert run("create", f"sqlite:{shop}", "--name", name).exit == 0
    assert run("pin", "b/one.sqlite", "--why", "audit").out == "b/one.sqlite stays: audit\n"
    preview = run("prune")
    assert [line.split("  ")[0] for line in preview.out.splitlines()[1:4]] == ["stays", "would go", "stays"]
    assert preview.out.splitlines()[-1] == "1 of 3 backups would go, 16.4 kB; --remove does it"
    assert (tmp_path / "b" / "two.sqlite").exists()
    assert run("prune", "--remove").out.splitlines()[-1] == "1 of 3 backups removed, 16.4 kB"
    assert sorted(path.name for path in (tmp_path / "b").glob("*.sqlite")) == ["one.sqlite", "three.sqlite"]


def test_the_policy_is_an_exit_code(runbook, shop, tmp_path):
    run = lambda *words: runbook("backup", *words, cwd=tmp_path)  # noqa: E731
    none = run("policy", f"sqlite:{shop}")
    assert (none.exit, none.out) == (1, f"critical:\n  there is no whole backup of sqlite:{shop}\n")
    run("create", f"sqlite:{shop}")
    met = run("policy", f"sqlite:{shop}")
    assert met.exit == 0 and met.out.startswith("ok: the newest backup is "), met
    few = run("policy", f"sqlite:{shop}", "--keep", "3", "--restored", "30d")
    assert (few.exit, few.out) == (1, "warning:\n  1 whole backup, required are 3\n  no backup was ever test-restored\n")


@pytest.mark.parametrize("words, error", [
    (["lst"], "error: backup: unknown action 'lst' (did you mean 'list'?)"),
    (["create"], "error: backup create: SOURCE is missing"),
    (["verify", "a", "b"], "error: backup verify: 'b' is one argument too many"),
    (["pin", "x.dump"], "error: backup pin: --why is missing"),
    (["prune", "--within", "3x"], "error: --within '3x': a duration such as 24h or 30d"),
])
def test_bad_words_are_refused(runbook, words, error):
    result = runbook("backup", *words)
    assert (result.exit, result.err.splitlines()[0]) == (2, error)


def test_a_cut_backup_is_found(runbook, shop, tmp_path):
    runbook("backup", "create", f"sqlite:{shop}", "--name", "one", cwd=tmp_path)
    file = tmp_path / "backup" / "one.sqlite"
    file.write_bytes(file.read_bytes()[:-1])
    result = runbook("backup", "verify", str(file))
    size = file.stat().st_size
    assert (result.exit, result.err) == (1, f"error: {file}: {size:,} bytes, its manifest says {size + 1:,}\n"
                                         f"hint: runbook backup list --folder {tmp_path}/backup shows the others\n")
    listed = runbook("backup", "list", cwd=tmp_path)
    assert f"{size:,} bytes, its manifest says {size + 1:,}" in listed.out

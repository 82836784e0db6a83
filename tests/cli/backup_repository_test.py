"""Backups in a restic repository: off-site, encrypted, deduplicated; damage, locks and wrong passwords have their messages."""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

if not shutil.which("restic") and os.environ.get("RUNBOOK_REQUIRE_LAB") != "1":  # there it has to fail
    pytest.skip("restic is missing: ./dev deps lab", allow_module_level=True)
PASSWORD = "a-pass-phrase-of-the-vault-7"


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    database = sqlite3.connect(path)
    database.execute("create table orders(id integer primary key, what text)")
    database.executemany("insert into orders(what) values (?)", [(f"thing {i} {random.random()}",) for i in range(3000)])
    database.commit()
    database.close()
    return path


@pytest.fixture
def vault(runbook, tmp_path, monkeypatch):
    """An empty repository, its password in a file of its own."""
    secret = tmp_path / "vault.password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    monkeypatch.setenv("RESTIC_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "cache"))
    place = f"restic:{tmp_path}/vault"
    made = runbook("backup", "init", place)
    assert (made.exit, made.out) == (0, f"{place}: an empty repository; who loses its password loses its backups\n"), made
    return place


def complaint(result):
    """The error and its hint, without the progress before them."""
    lines = result.err.splitlines()
    return lines[[line.startswith("error:") for line in lines].index(True):]


def packs(tmp_path):
    return [path for path in (tmp_path / "vault" / "data").rglob("*") if path.is_file()]


def test_a_backup_goes_into_a_repository_and_comes_back(runbook, shop, vault, tmp_path):
    made = runbook("backup", "create", f"sqlite:{shop}", "--folder", "b", "--folder", vault, "--name", "one", "--output", "json", cwd=tmp_path)
    assert made.exit == 0, made
    backup = json.loads(made.out.splitlines()[-1])
    place = f"{vault}#one.sqlite"
    assert backup["files"] == [f"{tmp_path}/b/one.sqlite", place]
    # One backup in two places; the list of the repository alone says the same but for the counts.
    listed = json.loads(runbook("backup", "list", "--folder", "b", "--folder", vault, "--output", "json", cwd=tmp_path).out)["backups"]
    assert [entry["files"] for entry in listed] == [backup["files"]]
    away = json.loads(runbook("backup", "list", "--folder", vault, "--output", "json", cwd=tmp_path).out)["backups"][0]
    same = ("bytes", "sha256", "engine", "server_version", "tool", "source", "tables", "rows", "started", "verified")
    assert [away[key] for key in same] == [backup[key] for key in same]
    assert runbook("backup", "verify", place).out == f"{place}: whole: digest as in its manifest, every byte read, 3,000 rows of 1 table\n"
    assert runbook("backup", "test-restore", place).out.startswith("restored and counted: 3,000 rows of 1 table")
    assert "restored and counted" in runbook("backup", "list", "--folder", vault).out
    shutil.rmtree(tmp_path / "b")
    assert runbook("backup", "restore", place, "sqlite:new.db", cwd=tmp_path).exit == 0
    assert sqlite3.connect(tmp_path / "new.db").execute("select count(*) from orders").fetchone() == (3000,)
    # Out of it, into a folder again.
    assert runbook("backup", "copy", place, "back", cwd=tmp_path).exit == 0
    assert runbook("backup", "verify", "back/one.sqlite", cwd=tmp_path).exit == 0
    # Twice under one name is refused.
    again = runbook("backup", "copy", "back/one.sqlite", vault, cwd=tmp_path)
    assert (again.exit, again.err.splitlines()[0]) == (1, f"error: {place}: exists already")


def test_only_a_repository_leaves_nothing_behind(runbook, shop, vault, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    made = runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", "one", "--output", "json", cwd=tmp_path)
    assert made.exit == 0, made
    assert json.loads(made.out.splitlines()[-1])["files"] == [f"{vault}#one.sqlite"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert runbook("backup", "policy", f"sqlite:{shop}", "--folder", vault, cwd=tmp_path).exit == 0
    # The same rows again cost next to nothing.
    before = sum(path.stat().st_size for path in packs(tmp_path))
    assert runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", "two", cwd=tmp_path).exit == 0
    assert sum(path.stat().st_size for path in packs(tmp_path)) - before < 0.1 * before + 8000
    for path in packs(tmp_path):
        assert b"thing 1" not in path.read_bytes()


def test_in_a_playbook_the_password_is_a_secret(runbook, playbook, shop, vault, tmp_path, monkeypatch):
    monkeypatch.delenv("RESTIC_PASSWORD_FILE")
    monkeypatch.setenv("VAULT", PASSWORD)
    path = playbook(f"""
        local p = playbook "x" {{ summary = "x", needs = {{ files = {{ "{tmp_path}/vault" }} }},
          params = {{ source = {{ "database", access = "read", required = true, doc = "x" }}, key = {{ "secret", from = "env:VAULT", doc = "x" }} }} }}
        local vault = backup.repository("{tmp_path}/vault", {{ password = p.key }})
        local made = step "backup" {{ undo = keep "stays", run = function() return backup.create(p.source, {{ to = vault, name = "one" }}) end }}
        step "prove" {{ undo = keep "scratch", run = function() backup.verify(made.result); return backup.test_restore(made.result, nil, {{}}) end }}
        step "pin" {{ undo = keep "pinned", run = function() backup.pin(made.result, "audit, final") end }}
        step "newest" {{ run = function() return backup.latest(p.source, {{ from = vault, restored = true }}) end }}
    """)
    result = runbook("exec", path.name, "--source", f"sqlite:{shop}", "--output", "json", cwd=path.parent)
    assert result.exit == 0, result
    newest = [e["result"] for e in result.events() if e["event"] == "step.finished" and e["step"] == "newest"][0]
    assert (newest["file"], newest["pinned"], newest["verified"], newest["counts"]["orders"]) == (f"{vault}#one.sqlite", "audit, final", "restored", 3000)
    assert PASSWORD not in result.out + result.err and PASSWORD.encode() not in runbook.journal.read_bytes()


def test_the_password_is_in_no_argument_list(runbook, shop, vault, tmp_path):
    """A restic of our own keeps what it was called with."""
    spy, log = tmp_path / "restic-spy", tmp_path / "seen"
    spy.write_text(f'#!/bin/sh\necho "$@" >>{log}\nexec {shutil.which("restic")} "$@"\n')
    spy.chmod(0o755)
    made = runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, env={"RUNBOOK_RESTIC": str(spy)}, cwd=tmp_path)
    assert made.exit == 0, made
    seen = log.read_text()
    assert "backup --json" in seen and "tag --set" in seen and PASSWORD not in seen


@pytest.mark.parametrize("case", ["wrong password", "nothing there", "no password", "no restic", "locked", "unreachable"])
def test_what_stands_in_the_way_is_said_before_the_dump(runbook, shop, vault, tmp_path, monkeypatch, case):
    place, locker, env = vault, None, {}
    if case == "wrong password":
        (tmp_path / "vault.password").write_text("something else")
        expected = (f"error: {vault}: the password does not open it", "hint: restic key list, with a password that does, shows its keys")
    elif case == "nothing there":
        place = f"restic:{tmp_path}/elsewhere"
        expected = (f"error: {place}: there is no repository", f"hint: runbook backup init {place} makes one")
    elif case == "no password":
        monkeypatch.delenv("RESTIC_PASSWORD_FILE")
        expected = (f"error: {vault}: no password is known",
                    "hint: in a playbook: backup.repository(location, { password = p.secret }); else set RESTIC_PASSWORD_FILE to a file that only you can read")
    elif case == "no restic":
        env = {"RUNBOOK_RESTIC": "/nowhere/restic"}
        expected = ("error: RUNBOOK_RESTIC: no program '/nowhere/restic'", "hint: install restic, or set RUNBOOK_RESTIC")
    elif case == "locked":
        # An exclusive lock of a process that lives: restic's own check, stopped while it holds it.
        locker = subprocess.Popen(["restic", "prune"], env={**os.environ, "RESTIC_REPOSITORY": f"{tmp_path}/vault"}, stdout=subprocess.DEVNULL)
        locks = tmp_path / "vault" / "locks"
        until = time.monotonic() + 20
        while not any("tmp" not in path.name for path in locks.iterdir()) and time.monotonic() < until and locker.poll() is None:
            time.sleep(0.002)
        locker.send_signal(signal.SIGSTOP)
        assert any("tmp" not in path.name for path in locks.iterdir()), "restic had ended before it could be stopped"
        expected = (f"error: {vault}: already locked exclusively by PID {locker.pid} on ", "hint: wait until it is done; if that process is gone for sure: restic unlock")
    else:
        place = "restic:rest:http://127.0.0.1:9/vault"
        expected = ("error: restic:rest:http://127.0.0.1:9/vault cannot be reached: ", "hint: is the store up, and reachable from here?")
    try:
        made = runbook("backup", "create", f"sqlite:{shop}", "--folder", "b", "--folder", place, env=env, cwd=tmp_path)
    finally:
        if locker:
            locker.kill()
            locker.wait()
    lines = complaint(made)
    assert made.exit == 1 and lines[0].startswith(expected[0]) and any(line.startswith(expected[1]) for line in lines[1:]), made
    if case != "locked":  # a lock is met only when something is written; the copy in the folder is whole
        assert not (tmp_path / "b").exists()
    else:
        assert f"whole: {tmp_path}/b/shop-" in made.err


def test_damage_in_a_repository_is_found(runbook, shop, vault, tmp_path):
    place = f"{vault}#one.sqlite"
    assert runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", "one", cwd=tmp_path).exit == 0
    target = max(packs(tmp_path), key=lambda path: path.stat().st_size)
    target.chmod(0o600)
    whole, dice = target.read_bytes(), random.Random(4)
    for turn in range(4):
        if turn % 2:
            target.write_bytes(whole[:len(whole) * dice.randrange(100) // 100])
        else:
            at = dice.randrange(len(whole))
            target.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << dice.randrange(8))]) + whole[at + 1:])
        result = runbook("backup", "verify", place)
        assert result.exit == 1 and result.err.startswith(f"error: {vault} is damaged: "), result
    target.write_bytes(whole)
    assert runbook("backup", "verify", place).exit == 0


def test_prune_removes_exactly_what_its_preview_names(runbook, shop, vault, tmp_path):
    for name in ("one", "two", "three", "four"):
        assert runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", name, cwd=tmp_path).exit == 0
        database = sqlite3.connect(shop)
        database.execute("insert into orders(what) values (?)", (random.randbytes(20000).hex(),))
        database.commit()
        database.close()
    assert runbook("backup", "pin", f"{vault}#one.sqlite", "--why", "audit, 100 % sure").out == f"{vault}#one.sqlite stays: audit, 100 % sure\n"
    see = lambda *more: json.loads(runbook("backup", "prune", "--folder", vault, "--keep", "2", *more, "--output", "json").out)  # noqa: E731
    preview, done = see(), see("--remove")
    assert preview["removed"] == done["removed"] and preview["kept"] == done["kept"]
    assert [entry["file"] for entry in done["removed"]] == [f"{vault}#two.sqlite"]
    assert done["kept"][-1]["why"] == "pinned: audit, 100 % sure"
    left = json.loads(runbook("backup", "list", "--folder", vault, "--output", "json").out)["backups"]
    assert [entry["file"].split("#")[1] for entry in left] == ["four.sqlite", "three.sqlite", "one.sqlite"]
    # Nothing that stays leaned on what went.
    for entry in left:
        assert runbook("backup", "test-restore", entry["file"]).exit == 0
    assert runbook("backup", "verify", left[0]["file"]).exit == 0


def test_the_lock_of_a_process_that_is_gone_is_in_nobodys_way(runbook, shop, vault, tmp_path):
    killed = subprocess.Popen(["restic", "backup", "--stdin"], env={**os.environ, "RESTIC_REPOSITORY": f"{tmp_path}/vault"}, stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL)
    locks, until = tmp_path / "vault" / "locks", time.monotonic() + 20
    while not any("tmp" not in path.name for path in locks.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert any(locks.iterdir())
    assert runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", "one", cwd=tmp_path).exit == 0
    assert not any(locks.iterdir())


def test_an_upload_that_did_not_end_is_no_backup(runbook, shop, vault, tmp_path):
    spy = tmp_path / "restic-spy"
    spy.write_text(f'#!/bin/sh\n[ "$1" != tag ] || exit 9\nexec {shutil.which("restic")} "$@"\n')
    spy.chmod(0o755)
    made = runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", "one", env={"RUNBOOK_RESTIC": str(spy)}, cwd=tmp_path)
    assert (made.exit, complaint(made)[0]) == (1, f"error: marking a backup of {vault}: restic ended with 9 and said nothing"), made
    assert "an upload that did not end" in runbook("backup", "list", "--folder", vault).out
    policy = runbook("backup", "policy", f"sqlite:{shop}", "--folder", vault)
    assert (policy.exit, policy.out) == (1, f"critical:\n  there is no whole backup of sqlite:{shop}\n")
    assert runbook("backup", "create", f"sqlite:{shop}", "--folder", vault, "--name", "one", cwd=tmp_path).exit == 0


@pytest.mark.parametrize("words, error", [
    (["init", "vault/"], "error: backup init vault/: restic:LOCATION expected"),
    (["init", "restic:"], "error: restic:: a repository needs a location"),
    (["list", "--folder", "restic:rest:https://me:word@host/x"], "error: a repository's location holds a password"),
])
def test_locations_that_cannot_be(runbook, words, error):
    result = runbook("backup", *words)
    assert (result.exit, result.err.splitlines()[0]) == (2, error)

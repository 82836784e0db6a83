"""What runbook serve says of runs, backups and databases: against the journal, real servers and real backups. No secret is in it."""
import base64
import hashlib
import json
import re
import socket
import sqlite3
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urlsplit

import pytest

from conftest import lab_url
from served import FAILS, LEAKS, PATHS, SHOP, WAITS, metrics, refused, runs_of, serve, shop, wait_until  # noqa: F401


# --- runs -----------------------------------------------------------------------------------------------------------


def test_migration_status_follows_a_run(serve, runbook, playbook, shop):
    go = runbook.home / "go"
    file = playbook(f'''
        playbook "slow" {{ needs = {{ shell = {{ "sh" }} }} }}
        step "first" {{ run = function() return 1 end }}
        step "second" {{ undo = keep "x", run = function() sh.run {{ "sh", "-c", "touch began; while [ ! -e {go} ]; do sleep 0.05; done" }} end }}
        step "third" {{ run = function() return 1 end }}
        step "fourth" {{ run = function() return 1 end }}
    ''', "slow.lua")
    served = serve()
    run = runbook.start("exec", file, "--run-id", "slow-1")
    wait_until((runbook.home / "began").exists, "the second step runs")
    status = served.ask("/api/migration-status").json()
    assert (status["migration_in_progress"], status["running"], status["held"], status["journal"]) == (True, 1, 0, str(runbook.journal))
    one = status["runs"][0]
    assert [entry["run"] for entry in status["runs"]] == ["slow-1", "first"]  # newest first
    assert (one["state"], one["current"], one["done"], one["planned"], one["playbook"]) == ("running", ["second"], 1, 4, "slow")
    assert "exit" not in one and one["elapsed_s"] > 0
    assert metrics(served.ask("/metrics").body)["runbook_runs_running"] == {(("playbook", "shop"),): 0.0, (("playbook", "slow"),): 1.0}
    go.touch()
    assert run.finish().exit == 0
    status = served.ask("/api/migration-status").json()
    assert status["migration_in_progress"] is False
    one = status["runs"][0]
    assert (one["state"], one["current"], one["done"], one["exit"]) == ("succeeded", [], 4, 0)


def test_a_run_whose_process_was_killed_is_interrupted(serve, runbook, playbook, shop):
    file = playbook('''
        playbook "slow" { needs = { shell = { "sh" } } }
        step "long" { undo = keep "x", run = function() sh.run { "sh", "-c", "touch began; sleep 60" } end }
    ''', "slow.lua")
    served = serve()
    run = runbook.start("exec", file, "--run-id", "killed")
    wait_until((runbook.home / "began").exists, "the step runs")
    assert runs_of(served)["killed"]["state"] == "running"
    run.process.kill()
    run.finish()
    status = served.ask("/api/migration-status").json()
    assert (status["interrupted"], status["running"], status["migration_in_progress"]) == (1, 0, False)
    assert (("playbook", "slow"), ("state", "interrupted")) in metrics(served.ask("/metrics").body)["runbook_runs"]


def test_who_is_waited_for(serve, runbook, playbook, shop):
    file = playbook(WAITS, "waits.lua")
    assert runbook("exec", file, "--run-id", "held-1", "--detach").exit == 3
    served = serve()
    one = runs_of(served)["held-1"]
    assert (one["state"], one["waits_for"], one["role"], one["done"], one["planned"]) == ("held", "go", "Lead", 1, 3)
    assert "waits for Lead at go" in served.ask("/").body
    assert "Open the shop?" in served.ask("/runs/held-1").body
    assert runbook("rollback", "held-1").exit == 1
    one = runs_of(served)["held-1"]
    assert (one["state"], one["exit"]) == ("failed", 1) and not {"waits_for", "role", "deadline"} & set(one)


def test_a_checkpoint_that_did_not_pass_is_counted(serve, runbook, playbook, shop):
    file = playbook(FAILS, "orders.lua")
    served = serve()
    name = "runbook_checkpoint_failures_total"
    assert metrics(served.ask("/metrics").body)[name] == {(("playbook", "shop"),): 0.0}
    for turn in (1, 2):
        assert runbook("exec", file, "--run-id", f"bad-{turn}").exit == 1
        assert metrics(served.ask("/metrics").body)[name][(("playbook", "orders"),)] == turn
    one = runs_of(served)["bad-1"]
    assert (one["state"], one["exit"], one["checkpoint_failures"]) == ("rolled_back", 1, 1) and "counts differ" in one["why"]


def test_how_many_runs_are_shown(serve, runbook, shop):
    for i in range(3):
        assert runbook("exec", shop, "--run-id", f"more-{i}").exit == 0
    served = serve()
    assert list(runs_of(served, "?limit=2")) == ["more-2", "more-1"]
    for limit in ("0", "-1", "1001", "x", "1x", "1e3", "99999999999999999999999"):
        answer = served.ask(f"/api/migration-status?limit={limit}")
        assert (answer.status, answer.json()) == (400, {"error": {"kind": "usage", "message": "limit: a number from 1 to 1000"}}), limit


def test_the_names_of_the_firestore_runbook_are_the_same(serve, shop):
    served = serve()
    for path in ("metrics", "migration-status", "backup-status"):
        one, other = served.ask("/metrics" if path == "metrics" else f"/api/{path}"), served.ask(f"/api/database/{path}")
        assert (one.status, one.header("Content-Type")) == (other.status, other.header("Content-Type"))
        assert re.sub(r"\d", "", one.body) == re.sub(r"\d", "", other.body)


def test_a_postgresql_journal(serve, runbook, scratch, playbook):
    database = scratch("PG")
    parts = urlsplit(database.url)
    place = database.url.replace(f":{parts.password}@", "@")
    env = {"RUNBOOK_JOURNAL_PASSWORD": unquote(parts.password)}
    assert runbook("exec", playbook(SHOP), "--journal", place, "--run-id", "remote", env=env).exit == 0
    served = serve("--journal", place, env=env)
    health = served.ask("/health").json()
    assert health["status"] == "ok" and parts.password not in served.ask("/health").body
    assert runs_of(served)["remote"]["state"] == "succeeded"
    assert metrics(served.ask("/metrics").body)["runbook_runs"] == {(("playbook", "shop"), ("state", "succeeded")): 1.0}
    assert "remote" in served.ask("/").body and served.ask("/runs/remote").status == 200
    assert parts.password not in "".join(served.said)
    refused_start = runbook("serve", "--journal", place, env={"RUNBOOK_JOURNAL_PASSWORD": "wrong-password-here"})
    assert refused_start.exit == 2 and "wrong-password-here" not in refused_start.err + refused_start.out


# --- metrics --------------------------------------------------------------------------------------------------------

def test_the_metrics_are_those_of_the_journal(serve, runbook, playbook, shop):
    odd = 'odd "name" with \\ and <b>'
    file = playbook(SHOP.replace('"shop"', json.dumps(odd)), "odd.lua")
    assert runbook("exec", file, "--run-id", "odd-1").exit == 0
    assert runbook("exec", playbook(FAILS, "orders.lua"), "--run-id", "bad").exit == 1
    served = serve()
    answer = served.ask("/metrics")
    assert answer.header("Content-Type") == ["text/plain; version=0.0.4; charset=utf-8"]
    found = metrics(answer.body)
    by = {name: {dict(labels).get("playbook"): value for labels, value in samples.items()} for name, samples in found.items()}
    assert by["runbook_runs_running"] == {"shop": 0, odd: 0, "orders": 0}
    assert found["runbook_runs"] == {(("playbook", odd), ("state", "succeeded")): 1, (("playbook", "shop"), ("state", "succeeded")): 1,
                                     (("playbook", "orders"), ("state", "rolled_back")): 1}
    rows = {row[0]: row[1:] for row in sqlite3.connect(runbook.journal).execute("select playbook, started, updated from runs")}
    for name, (started, updated) in rows.items():
        assert by["runbook_last_start_timestamp_seconds"][name] == pytest.approx(started / 1e6, abs=1e-4)
        assert by["runbook_last_duration_seconds"][name] == pytest.approx((updated - started) / 1e6, abs=1e-4)
        if name != "orders":
            assert by["runbook_last_success_timestamp_seconds"][name] == pytest.approx(updated / 1e6, abs=1e-4)
    assert "orders" not in by["runbook_last_success_timestamp_seconds"]  # never: absent, not 1970
    assert by["runbook_checkpoint_failures_total"] == {"shop": 0, odd: 0, "orders": 1}
    assert found["runbook_journal_readable"] == {(): 1.0} and len(found["runbook_build_info"]) == 1
    assert not [name for name in found if name.startswith("runbook_backup")]


# --- backups --------------------------------------------------------------------------------------------------------


def test_backups_are_judged_by_runbook_toml(serve, runbook, shop, tmp_path):
    sqlite3.connect(tmp_path / "shop.db").executescript("create table t (a); insert into t values (1), (2)")
    (tmp_path / "runbook.toml").write_text(f'''
[connections]
shop = "sqlite:{tmp_path}/shop.db"
[backups.shop]
source = "shop"
folders = ["dumps/", "{tmp_path}/more"]
every = "1h"
[backups.nightly]
source = "postgres://anna@db1/crm"
''')
    served = serve("--config", tmp_path)
    status = served.ask("/api/backup-status").json()
    assert status["status"] == "critical"
    assert [(one["name"], one["status"], one["why"]) for one in status["backups"]] == [
        ("nightly", "critical", ["there is no whole backup of postgres://db1:5432/crm"]), ("shop", "critical", [f"there is no whole backup of sqlite:{tmp_path}/shop.db"])]
    assert "anna" not in served.ask("/api/backup-status").body
    found = metrics(served.ask("/metrics").body)
    assert found["runbook_backup_met"] == {(("backup", "shop"),): 0, (("backup", "nightly"),): 0}
    assert "runbook_backup_age_seconds" not in found
    made = runbook("backup", "create", f"sqlite:{tmp_path}/shop.db", "--folder", tmp_path / "dumps", "--folder", tmp_path / "more")
    assert made.exit == 0, made.err
    one = served.ask("/api/backup-status").json()["backups"][1]
    assert (one["status"], one["why"], one["missed"], one["whole"]) == ("ok", [], 0, 1)
    newest = one["newest"]
    assert (newest["rows"], newest["verified"], newest["copies"]) == (2, "read", 2)
    assert hashlib.sha256(open(newest["file"], "rb").read()).hexdigest() == newest["sha256"]
    assert 0 <= one["age_s"] < 600
    found = metrics(served.ask("/metrics").body)
    assert found["runbook_backup_met"][(("backup", "shop"),)] == 1
    assert 0 <= found["runbook_backup_age_seconds"][(("backup", "shop"),)] < 600
    assert found["runbook_backup_size_bytes"][(("backup", "shop"),)] == newest["bytes"]
    for manifest in [*tmp_path.glob("dumps/*.json"), *tmp_path.glob("more/*.json")]:  # 90 minutes old, then five hours
        data = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**data, "started": older(data["started"], 90)}))
    one = served.ask("/api/backup-status").json()["backups"][1]
    assert (one["status"], one["missed"]) == ("warning", 1)
    for manifest in [*tmp_path.glob("dumps/*.json"), *tmp_path.glob("more/*.json")]:
        data = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**data, "started": older(data["started"], 210)}))
    one = served.ask("/api/backup-status").json()["backups"][1]
    assert (one["status"], one["missed"]) == ("critical", 4)
    assert metrics(served.ask("/metrics").body)["runbook_backup_missed"] == {(("backup", "shop"),): 4}


def older(started, minutes):
    from datetime import datetime, timedelta

    return (datetime.fromisoformat(started.replace("Z", "+00:00")) - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def test_where_nothing_is_asked_for_nothing_is_said_to_be_well(serve, shop):
    served = serve()
    status = served.ask("/api/backup-status").json()
    assert (status["status"], status["backups"], status["why"]) == ("unknown", [], "runbook.toml asks for no backups ([backups.NAME])")
    health = served.ask("/api/database/health")
    assert health.status == 200
    assert (health.json()["status"], health.json()["connections"]) == ("unknown", [])


def test_a_folder_that_cannot_be_read_is_unknown(serve, shop, tmp_path):
    (tmp_path / "dumps").write_text("a file")
    (tmp_path / "runbook.toml").write_text('[backups.shop]\nsource = "sqlite:x.db"\nfolders = "dumps"\n')
    served = serve("--config", tmp_path)
    status = served.ask("/api/backup-status").json()
    assert status["status"] == "unknown" and status["backups"][0]["status"] == "unknown" and "dumps" in status["backups"][0]["why"][0]
    found = metrics(served.ask("/metrics").body)
    assert found["runbook_backup_readable"] == {(("backup", "shop"),): 0} and "runbook_backup_met" not in found


def test_mistakes_of_runbook_toml_are_said_before_it_starts(runbook, shop, tmp_path):
    def wrong(text, message, hint=None):
        (tmp_path / "runbook.toml").write_text(text)
        refused(runbook("serve", "--config", tmp_path), f"{tmp_path}/runbook.toml:{message}", hint)

    wrong('[connections]\nprod = "sqlite:x"\n[backups.shop]\nsource = "prd"\n',
          "3: backups.shop.source: no connection 'prd' in [connections] (did you mean 'prod'?)")
    wrong("[backups.shop]\n", "1: backups.shop: source is missing", "a name of [connections], or a URL")
    wrong('[backups.shop]\nsource = "sqlite:x"\nevry = "1h"\n', "3: backups.shop: unknown key 'evry' (did you mean 'every'?)",
          "known here: source, folders, every, grace, restored, keep, shrink")
    wrong('[backups.shop]\nsource = "sqlite:x"\nevery = "daily"\n', "3: backups.shop.every: 'daily': a duration such as 24h or 30d expected")
    wrong('[backups.shop]\nsource = "sqlite:x"\nkeep = 0\n', "3: backups.shop.keep: a whole number from 1 to 1000000 expected")
    wrong('[backups.shop]\nsource = "sqlite:x"\nshrink = 2\n', "3: backups.shop.shrink: a number from 0 to 1 expected")
    (tmp_path / "runbook.toml").unlink()
    refused(runbook("serve", "--config", tmp_path), f"--config {tmp_path}: there is no runbook.toml")
    (tmp_path / "runbook.toml").write_text('[connections]\nprod = "oracle://x"\n')
    result = runbook("serve", "--config", tmp_path)
    assert result.exit == 2 and result.err.startswith(f"error: {tmp_path}/runbook.toml:2: connections.prod: ")


# --- databases ------------------------------------------------------------------------------------------------------


def without_password(url):
    password = urlsplit(url).password
    return url.replace(f":{password}@", "@"), unquote(password)


def test_database_health(serve, runbook, shop, tmp_path):
    sqlite3.connect(tmp_path / "small.db").execute("create table t (a)")
    postgres, pg_password = without_password(lab_url("PG_APP"))
    mariadb, maria_password = without_password(lab_url("MARIADB_APP"))
    (tmp_path / "runbook.toml").write_text(f'''
[connections]
pg = {{ url = "{postgres}", password = "env:THE_PG_PASSWORD", access = "write" }}
maria = "{mariadb}"
small = "sqlite:{tmp_path}/small.db"
''')
    env = {"THE_PG_PASSWORD": pg_password, "RUNBOOK_MARIA_PASSWORD": maria_password}
    served = serve("--config", tmp_path, env=env)
    answer = served.ask("/api/database/health")
    health = answer.json()
    assert (answer.status, health["status"]) == (200, "ok"), health
    maria, pg, small = health["connections"]
    assert [one["name"] for one in health["connections"]] == ["maria", "pg", "small"]
    for one, engine, encrypted in ((pg, "PostgreSQL", True), (maria, "MariaDB", True), (small, "SQLite", False)):
        assert (one["reachable"], one["engine"], one["encrypted"]) == (True, engine, encrypted), one
        assert re.match(r"\d+\.\d+", one["version"]) and 0 <= one["latency_ms"] < 30_000 and 0 <= one["connect_ms"] < 30_000
    parts = urlsplit(postgres)
    assert pg["database"] == f"postgres://{parts.hostname}:{parts.port}{parts.path}"
    for secret in (pg_password, maria_password, parts.username + "@", urlsplit(mariadb).username + "@", "THE_PG_PASSWORD"):
        assert secret not in answer.body


def test_a_database_that_does_not_answer(serve, runbook, shop, tmp_path):
    sqlite3.connect(tmp_path / "small.db").execute("create table t (a)")
    postgres, _ = without_password(lab_url("PG_APP"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    (tmp_path / "runbook.toml").write_text(f'''
[connections]
small = "sqlite:{tmp_path}/small.db"
gone = "mysql://anna@127.0.0.1:{port}/shop"
wrong = {{ url = "{postgres}", password = "env:WRONG_PASSWORD" }}
unset = {{ url = "postgres://anna@127.0.0.1:{port}/shop", password = "env:NOT_SET_AT_ALL" }}
''')
    served = serve("--config", tmp_path, env={"WRONG_PASSWORD": "not-the-password-7"})
    answer = served.ask("/api/database/health")
    health = answer.json()
    assert (answer.status, health["status"]) == (503, "failing")
    gone, small, unset, wrong = health["connections"]
    assert small["reachable"] is True
    assert (gone["reachable"], gone["error"]["kind"], gone["database"]) == (False, "db.connection", f"mysql://127.0.0.1:{port}/shop")
    assert (wrong["reachable"], wrong["error"]["kind"]) == (False, "db.auth")
    assert (unset["reachable"], unset["error"]["kind"]) == (False, "usage") and "NOT_SET_AT_ALL" in unset["error"]["message"]
    assert "not-the-password-7" not in answer.body and "anna@" not in answer.body
    assert served.ask("/health").status == 200  # of the server itself


def test_many_who_ask_at_once_are_one_look(serve, shop, tmp_path):
    import threading

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(30)
        (tmp_path / "runbook.toml").write_text(f'[connections]\nsilent = "postgres://anna@127.0.0.1:{silent.getsockname()[1]}/x"\n')
        served = serve("--config", tmp_path)
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(served.ask("/api/database/health").json()["checked"])) for _ in range(5)]
        for thread in asking:
            thread.start()
        first, _ = silent.accept()
        assert served.ask("/health").status == 200  # others are answered meanwhile
        first.close()
        for thread in asking:
            thread.join()
        silent.setblocking(False)
        assert len(set(answers)) == 1
        with pytest.raises(BlockingIOError):
            silent.accept()


# --- pages ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.rows, self.loads, self.open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.loads += [(tag, key) for key in given if key in ("src", "srcset", "data", "action") or key.startswith("on")]
        if tag == "a":
            self.links.append(given["href"])
        if tag == "tr":
            self.rows.append("")
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.rows and "tr" in self.open:
            self.rows[-1] += data + "|"


def test_the_page_of_runs(serve, runbook, playbook, shop):
    odd = '<script>alert("x")</script>&amp;'
    assert runbook("exec", playbook(SHOP.replace('"shop"', json.dumps(odd)), "odd.lua"), "--run-id", "a b'\"<i>&/ä").exit == 0
    served = serve()
    answer = served.ask("/")
    assert answer.header("Content-Type") == ["text/html; charset=utf-8"]
    page = Page(answer.body)
    assert {"script", "i", "form", "link", "img", "iframe"}.isdisjoint(page.tags) and page.loads == []
    assert len(page.rows) == 3 and odd in page.rows[1] and page.rows[2].startswith("first|shop|succeeded|3 of 3|")
    assert page.links[1] == "/runs/first" and served.ask(page.links[0]).status == 200
    for link in page.links:
        report = served.ask(link)
        assert report.status == 200 and "<script" not in report.body
    assert served.ask("/runs/first").body.strip() == runbook("report", "first", "--format", "html").out.strip()
    assert served.ask("/runs/fir").status == 404  # no guessing


def test_a_journal_without_runs(serve, runbook, shop):
    connection = sqlite3.connect(runbook.journal)
    for table in ("events", "runs"):
        for (trigger,) in connection.execute("select name from sqlite_master where type = 'trigger' and tbl_name = ?", (table,)).fetchall():
            connection.execute(f'drop trigger "{trigger}"')
        connection.execute(f"delete from {table}")
    connection.commit()
    connection.close()
    served = serve()
    assert "There is no run yet." in served.ask("/").body
    assert served.ask("/api/migration-status").json()["runs"] == []
    assert set(metrics(served.ask("/metrics").body)) == {"runbook_build_info", "runbook_journal_readable"}


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_served(serve, runbook, playbook, shop, tmp_path):
    secret, password = "Horse!battery/staple 42", "pass:word/with ü"
    env = {"SHOP_TOKEN": secret, "SMALL_PASSWORD": password}
    assert runbook("exec", playbook(LEAKS, "leaks.lua"), "--run-id", "leak", env=env).exit == 1
    (tmp_path / "runbook.toml").write_text(
        f'[connections]\nsmall = {{ url = "postgres://anna@127.0.0.1:1/x", password = "env:SMALL_PASSWORD" }}\ninside = "mysql://ben:{quote("in-the-url-9", safe="")}@127.0.0.1:1/y"\n'
        '[backups.inside]\nsource = "inside"\n')
    served = serve("--config", tmp_path, env=env)
    everything = "".join(served.said)
    for path in [*PATHS, "/runs/leak", "/runs/nothing"]:
        answer = served.ask(path)
        everything += answer.body + repr(answer.headers)
        everything += served.ask(path, headers={}).body
    for hidden in (secret, password, "in-the-url-9", served.token):
        for form in (hidden, quote(hidden, safe=""), base64.b64encode(hidden.encode()).decode(), json.dumps(hidden)[1:-1], hidden.replace("&", "&amp;")):
            assert form not in everything, form
    arguments = open(f"/proc/{served.started.process.pid}/cmdline", "rb").read()
    assert served.token.encode() not in arguments
    result = served.stop()
    assert served.token not in result.out + result.err

"""playbooks/mysql8_unification.lua for real: a live application moves from PostgreSQL to MySQL; goes back; survives kill -9."""
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from conftest import ROOT, lab_url

sys.path.insert(0, str(ROOT / "tests/lab"))
import databases  # noqa: E402
import deploy  # noqa: E402
import reline  # noqa: E402

PLAYBOOK = ROOT / "playbooks/mysql8_unification.lua"
ROWS = 20_000
CHECKPOINTS = ["nothing in the way", "backup restores", "data verified", "integrity", "application uses MySQL", "smoke"]
STEPS = ["maintenance on", "fence PostgreSQL", "baseline", "backup", "copy", "stop application", "point at MySQL", "start application",
         "canary", "open traffic"]


class Move:
    """A source with the five tables, an empty target, and the application running on the source."""

    def __init__(self, runbook, scratch, folder, variant):
        self.runbook, self.folder = runbook, folder
        self.pg, self.mysql, self.spare = scratch("PG"), scratch("MYSQL"), scratch("PG")
        reline.load(self.pg.as_user("MIGRATE"), variant, ROWS)
        user = databases.parse(self.mysql.as_user("APP"))["user"]
        self.mysql.sql(f"revoke all on `{self.mysql.name}`.* from {user}")
        self.mysql.sql(f"grant select, insert, update, delete on `{self.mysql.name}`.* to {user}")
        self.app = folder / "reline"
        port, self.key = deploy.deploy(self.app, self.pg.as_user("APP"), self.mysql.as_user("APP"))
        self.url = f"http://127.0.0.1:{port}/"
        self.control("start")

    def control(self, verb):
        subprocess.run([self.app / "bin/app", verb], check=True, stdin=subprocess.DEVNULL, timeout=60)

    def command(self, playbook=PLAYBOOK):
        return ["exec", playbook, "--app", self.url, "--app-dir", f"{self.app}/", "--approve", "go live", "--output", "json"]

    def env(self):
        migrate = self.pg.as_user("MIGRATE")
        return {"RUNBOOK_SOURCE": migrate, "RUNBOOK_FENCE": migrate, "RUNBOOK_SCRATCH": databases.with_name(lab_url("PG_SCRATCH"), self.spare.name),
                "RUNBOOK_TARGET": self.mysql.as_user("MIGRATE"), "RUNBOOK_RUNTIME": self.mysql.as_user("APP"), "RUNBOOK_PROBE_KEY": self.key}

    def run(self, *args):
        return self.runbook(*(args or self.command()), env=self.env(), cwd=self.folder, timeout=300)

    def ask(self, path=""):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def adapter(self):
        status, text = self.ask("health")
        assert status == 200, text
        return json.loads(text)["database"]["adapter"]

    def may_write_to_postgres(self):
        return databases.query(self.pg.as_user("APP"), "select has_table_privilege('feedbacks', 'insert')") == [(True,)]

    def tables_in_mysql(self):
        return {name for (name,) in self.mysql.sql("select table_name from information_schema.tables where table_schema = database()")}


@pytest.fixture
def move(runbook, scratch, tmp_path):
    made = []

    def make(variant="plain"):
        made.append(Move(runbook, scratch, tmp_path, variant))
        return made[-1]

    yield make
    for each in made:
        each.control("stop")


def finished(events, outcome, exit):
    """The last event, with the outcome that it must have."""
    last = events[-1]
    assert last["event"] == "run.finished", json.dumps(events[-3:], indent=1)
    assert (last["outcome"], last["exit"]) == (outcome, exit), json.dumps(events, indent=1)


def steps(events, kind):
    return [event["step"] for event in events if event["event"] == kind]


def passed(events):
    return [event["step"] for event in events
            if event["event"] == "checkpoint.judged" and event["passed"] and event.get("kind") != "checklist"]


def test_from_maintenance_on_to_maintenance_off(move):
    m = move()
    counts = {table: m.pg.sql(f"select count(*) from {table}")[0][0] for table in reline.TABLES}
    result = m.run()
    assert result.exit == 0, result.err + result.out
    events = result.events()
    finished(events, "succeeded", 0)
    assert passed(events) == CHECKPOINTS
    done = steps(events, "step.finished")
    assert [name for name in done if name in STEPS] == STEPS
    assert m.adapter() == "Mysql2"
    assert m.ask()[0] == 200
    assert {table: m.mysql.sql(f"select count(*) from {table}")[0][0] for table in reline.TABLES} == counts
    assert {"schema_migrations", "ar_internal_metadata", *reline.TABLES} <= m.tables_in_mysql()
    assert not m.may_write_to_postgres()
    assert m.mysql.sql("select bytes from (select hex(image) bytes from contents where length(image) = 256 limit 1) b") \
        == [(bytes(range(256)).hex().upper(),)]
    assert m.mysql.sql("select count(*) from contents where body = %s", [r"\N"])[0][0] > 0
    assert m.mysql.sql("show index from line_groups where key_name = 'index_line_groups_on_line_group_id' and non_unique = 0") != []
    # The application goes on where PostgreSQL's sequence stood.
    status = urllib.request.urlopen(urllib.request.Request(m.url + "feedbacks", json.dumps({"rating": 4, "body": "👍"}).encode()))
    assert json.load(status)["id"] > counts["feedbacks"]
    secrets = [databases.parse(url)["password"] for url in m.env().values() if "://" in url] + [m.key]
    for secret in secrets:
        assert secret not in result.out + result.err
        assert secret.encode() not in m.runbook.journal.read_bytes()


def test_keys_equal_under_the_collation_are_refused_before_a_row_is_written(move):
    m = move("casefold")
    result = m.run()
    assert result.exit in (1, 2), result.err + result.out
    assert m.tables_in_mysql() == set()
    assert "maintenance on" not in steps(result.events(), "step.started")
    assert m.adapter() == "PostgreSQL"
    assert m.may_write_to_postgres()
    for word in ("operators", "email", "utf8mb4_unicode_ci"):
        assert word in result.out + result.err


def sabotaged(folder):
    """The playbook with one more step: between the copy and its verification a byte changes in the target."""
    text = PLAYBOOK.read_text()
    before = 'checkpoint "data verified"'
    assert text.count(before) == 1
    step = '''step "one changed byte" { undo = keep "it is what the test is about",
  run = function() db.execute(p.target, "update contents set body = concat(body, 'x') where id = 4711") end }
'''
    file = folder / "sabotaged.lua"
    file.write_text(text.replace(before, step + before))
    return file


def test_one_changed_byte_is_found_and_everything_goes_back(move, tmp_path):
    m = move()
    result = m.run(*m.command(sabotaged(tmp_path)))
    assert result.exit == 1, result.err + result.out
    events = result.events()
    finished(events, "rolled_back", 1)
    assert passed(events) == [*CHECKPOINTS[:2], "PostgreSQL serves again"]
    judged = [event for event in events if event["event"] == "checkpoint.judged" and not event["passed"]]
    assert [(event["step"], event["verdict"], event["why"]) for event in judged] \
        == [("data verified", "rollback", "PostgreSQL and MySQL differ")]
    assert judged[0]["detail"].startswith("contents: of 4,800 rows 1 changed; contents 4711: changed: body: source ")
    assert steps(events, "undo.finished") == ["fence PostgreSQL", "maintenance on"]
    assert m.ask()[0] == 200
    assert m.adapter() == "PostgreSQL"
    assert m.may_write_to_postgres()
    assert not (m.app / "tmp/maintenance.txt").exists()


def loading(event):
    """Rows have been written, and more will be."""
    return event["event"] == "progress" and event["step"] == "copy" and event["rows"] > 0


def starting(event):
    return event["event"] == "step.started" and event["step"] == "start application"


@pytest.mark.parametrize("moment, last_finished", [(loading, "backup"), (starting, "point at MySQL")])
def test_kill_in_the_middle_then_resume(move, moment, last_finished):
    m = move()
    started = m.runbook.start(*m.command(), env=m.env(), cwd=m.folder)
    for line in started.process.stdout:
        event = json.loads(line)
        if moment(event):
            break
    started.process.send_signal(signal.SIGKILL)
    started.process.communicate()
    assert (m.app / "tmp/maintenance.txt").exists()
    result = m.run("resume", event["run"], "--approve", "go live", "--output", "json")
    assert result.exit == 0, result.err + result.out
    events = result.events()
    finished(events, "succeeded", 0)
    before = STEPS[:STEPS.index(last_finished) + 1]
    assert not set(steps(events, "step.started")) & set(before)
    assert passed(events)[-2:] == ["application uses MySQL", "smoke"]
    assert m.adapter() == "Mysql2"
    assert m.ask()[0] == 200
    assert m.mysql.sql("select count(*) from contents") == m.pg.sql("select count(*) from contents")
    assert len([name for name in os.listdir(m.folder / "backup") if name.endswith(".dump")]) == 1

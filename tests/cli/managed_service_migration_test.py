"""playbooks/managed_service_migration.lua: PostgreSQL is real; Render's API and prisma's program are stand-ins that keep state."""
import http.server
import json
import threading

import pytest
from adapters import standins  # noqa: F401 (a fixture)
from migration_run import confirmed, followed
from render_test import Api

from conftest import ROOT, connect_postgres, lab_url, with_database

PLAYBOOK = ROOT / "playbooks/managed_service_migration.lua"
ONE = ("20260101_one", "create table cases (id int primary key, title text not null)")


class Legal:
    """A database with one migration and rows in it, and two services on Render that answer while they run and can read it."""

    def __init__(self, runbook, scratch, standins, folder):  # noqa: F811
        self.runbook, self.standins, self.folder, self.api = runbook, standins, folder, Api()
        self.pg, self.spare = scratch("PG"), scratch("PG")
        self.project = folder / "prisma"
        standins.set("npx", {})
        self.migrations(ONE)
        legal = self

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.strip("/")
                up = next(s for s in legal.api.services.values() if s["name"] == name)["suspended"] == "not_suspended"
                body = json.dumps({"status": "healthy" if up and legal.may_write() else "down"}).encode()
                self.send_response(200 if up else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        (folder / "setup.lua").write_text("""
local prisma = require "prisma"
local p = playbook "setup" { summary = "x", needs = { shell = { "npx prisma" }, files = { "prisma/" } }, params = { prod = { "database", access = "write", required = true, doc = "x" } } }
step "all" { undo = keep "x", run = function()
  prisma.deploy(p.prod, { schema = "prisma/schema.prisma" })
  db.script(p.prod, "insert into cases select i, 'case ' || i from generate_series(1, 300) i; grant select, insert, update, delete on cases to %s")
end }
""" % lab_url("PG_APP").split("//")[1].split(":")[0])
        made = runbook("exec", "setup.lua", cwd=folder, env={**standins.env, "RUNBOOK_PROD": self.pg.as_user("MIGRATE")})
        assert made.exit == 0, made.out + made.err

    def migrations(self, *all_):
        for name, sql in all_:
            (self.project / "migrations" / name).mkdir(parents=True, exist_ok=True)
            (self.project / "migrations" / name / "migration.sql").write_text(sql)
        (self.project / "migrations/migration_lock.toml").write_text('provider = "postgresql"\n')
        (self.project / "schema.prisma").write_text("datasource db {}\n")

    def may_write(self):
        connection = connect_postgres(self.pg.as_user("APP"))
        try:
            with connection.cursor() as cursor:
                cursor.execute("update cases set title = title where id = 1")
            return True
        except Exception:  # noqa: BLE001 (the fence, or no table)
            return False
        finally:
            connection.close()

    def facts(self):
        return {"columns": self.pg.sql("select column_name from information_schema.columns where table_name = 'cases' order by 1"), "rows": self.pg.sql("select count(*) from cases"),
                "done": self.pg.sql("select migration_name from _prisma_migrations where finished_at is not null and rolled_back_at is null order by 1"), "may write": self.may_write(),
                "running": {s["name"]: (s["suspended"], s["serviceDetails"]["numInstances"]) for s in self.api.services.values()}}

    def run(self):
        run = self.runbook.start("exec", PLAYBOOK, "--run-id", "r", "--approve", "go", "--output", "json", "--services", "web,gateway", "--purpose", "cases get a state", "--project", "prisma/",
                                 "--api", self.api.url, "--health", f"http://127.0.0.1:{self.server.server_port}/{{service}}", "--watched", "1s", cwd=self.folder,
                                 env={**self.standins.env, "RUNBOOK_PROD": self.pg.as_user("MIGRATE"), "RUNBOOK_SCRATCH": with_database(lab_url("PG_SCRATCH"), self.spare.name), "RENDER_API_KEY": "rnd_secret_key"})
        return followed(run, lambda event: confirmed(self.runbook, event))


@pytest.fixture
def legal(runbook, scratch, standins, tmp_path):  # noqa: F811
    folder = tmp_path / "legal"
    folder.mkdir()
    made = Legal(runbook, scratch, standins, folder)
    yield made
    for server in (made.server, made.api.server):
        server.shutdown()
        server.server_close()


def test_from_start_to_end(legal):
    legal.migrations(("20260201_state", "alter table cases add column state text not null default 'open'"))
    before = legal.facts()
    result = legal.run()
    assert result.exit == 0, result.out[-3000:] + result.err
    facts = legal.facts()
    assert facts["done"] == [("20260101_one",), ("20260201_state",)] and ("state",) in facts["columns"]
    assert (facts["rows"], facts["may write"], facts["running"]) == ([(300,)], True, before["running"])
    assert [post.split("/")[-1] for post in legal.api.posts] == ["suspend", "suspend", "resume", "resume"]


@pytest.mark.parametrize("sql, why", [("alter table cases add column state text; select 1/0", "migrate"), ("delete from cases where id > 10", "tables have lost rows")])
def test_back_to_what_was(legal, sql, why):
    legal.migrations(("20260201_bad", sql))
    before = legal.facts()
    result = legal.run()
    assert result.exit == 1, result.out[-3000:] + result.err
    end = next(e for e in result.events() if e["event"] == "run.finished")
    assert end["outcome"] == "rolled_back" and why in end["why"], end
    assert legal.facts() == before

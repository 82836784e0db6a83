"""A PostgreSQL with an application on it, for the playbooks that migrate one: what they change and must bring back."""
import datetime

from migration_run import followed, serve_health

from conftest import connect_postgres, lab_url, with_database

EVIDENCE = {"url": "https://example.org/review", "ticket": "CHG-1"}
BASE = ("001_shop.sql", "create table customers (id int primary key, name text not null);\ncreate table orders (id int primary key, customer int references customers (id));\n")
GOOD = [("002_mail.sql", "alter table customers add column mail text;\nupdate customers set mail = name || '@example.org';\n"), ("002_mail.down.sql", "alter table customers drop column mail;\n"),
        ("003_by_name.sql", "create index concurrently by_name on customers (name);\n"), ("003_by_name.down.sql", "drop index concurrently if exists by_name;\n")]


class Shop:
    """A database with one migration applied and rows in it, and an application whose health asks that database and follows MAINTENANCE_MODE."""

    def __init__(self, runbook, scratch, standins, folder, playbook):
        self.runbook, self.standins, self.folder, self.playbook = runbook, standins, folder, playbook
        self.pg, self.spare = scratch("PG"), scratch("PG")
        self.migrations = folder / "migrations"
        self.migrations.mkdir()
        workload = self.workload = "deployment/api"
        template = {"spec": {"containers": [{"name": "api", "image": "api:1"}]}}
        standins.set("kubectl", {workload: {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}, "spec": {"replicas": 2, "template": template},
                                                    "status": {"replicas": 2, "readyReplicas": 2}, "history": [template]}})
        self.seen, self.options, self.asked = set(), [], []

        self.server = serve_health(self.health)
        self.write(BASE)
        self.setup()

    def health(self):
        """503 while it is in maintenance, 200 while it can read its tables."""
        env = [one for one in self.standins.get("kubectl")[self.workload]["spec"]["template"]["spec"]["containers"][0].get("env") or []]
        status = 503 if {"name": "MAINTENANCE_MODE", "value": "true"} in env else 200
        if status == 200:
            connection = connect_postgres(self.pg.as_user("APP"))
            with connection.cursor() as cursor:
                cursor.execute("select count(*) from customers")
            connection.close()
        self.seen.add(status)
        return status

    def write(self, *files):
        for name, text in files:
            (self.migrations / name).write_text(text)

    def setup(self):
        """The first migration and some rows, by the role that owns the tables; the application may write."""
        text = """
local migrate = require "migrate"
local p = playbook "setup" { summary = "x", needs = { files = { "migrations/" } }, params = { prod = { "database", access = "write", required = true, doc = "x" } } }
step "all" { undo = keep "x", run = function()
  migrate.up(p.prod, { plan = migrate.plan(p.prod, "migrations/") })
  db.script(p.prod, "insert into customers select i, 'customer ' || i from generate_series(1, 500) i; insert into orders select i, i from generate_series(1, 500) i;"
    .. "grant select, insert, update, delete on customers, orders to " .. "%s")
end }
""" % lab_url("PG_APP").split("//")[1].split(":")[0]
        (self.folder / "setup.lua").write_text(text)
        made = self.runbook("exec", "setup.lua", cwd=self.folder, env={"RUNBOOK_PROD": self.pg.as_user("MIGRATE")})
        assert made.exit == 0, made.out + made.err

    def env(self, **more):
        return {**self.standins.env, "RUNBOOK_PROD": self.pg.as_user("MIGRATE"), "RUNBOOK_STATS": self.pg.url, "RUNBOOK_SCRATCH": with_database(lab_url("PG_SCRATCH"), self.spare.name), **more}

    def run(self, watch=None, **more):
        """The whole run: created ahead, what it asks people before T confirmed, then begun; what it asks later as it comes. `watch` gets each event."""
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        ahead = self.runbook("exec", self.playbook, "--run-id", "r", "--ahead", "--start", f"{at:%Y-%m-%d %H:%M:%S} UTC", "--output", "json", "--app", f"http://127.0.0.1:{self.server.server_port}/",
                             "--watched", "1s", *self.options, cwd=self.folder, env=self.env())
        assert ahead.exit == 3, ahead.out + ahead.err
        for item, evidence in self.asked:
            self.confirm(item, evidence)
        run = self.runbook.start("resume", "r", *(["--approve", "go"] if "sql_migration" in self.playbook.name else []), "--output", "json", cwd=self.folder, env=self.env(**more))
        asked = dict(self.asked)
        return followed(run, lambda event: event["item"] in asked or self.confirm(event["item"], event.get("evidence")), watch)

    def confirm(self, item, evidence):
        said = self.runbook("confirm", "r", item, *(["--evidence", EVIDENCE[evidence]] if evidence else []), env=self.env())
        assert said.exit == 0, said.out + said.err

    def resume(self):
        return self.runbook("resume", "r", *(["--approve", "go"] if "sql_migration" in self.playbook.name else []), "--output", "json", cwd=self.folder, env=self.env(), timeout=60)

    def facts(self):
        """What a rollback must bring back: columns, indexes, rows, what is noted, and that the application may write."""
        return {"columns": self.pg.sql("select table_name, column_name from information_schema.columns where table_schema = 'public' and table_name in ('customers', 'orders') order by 1, 2"),
                "indexes": self.pg.sql("select indexname from pg_indexes where tablename in ('customers', 'orders') order by 1"),
                "rows": self.pg.sql("select (select count(*) from customers), (select count(*) from orders)"),
                "versions": self.pg.sql("select version, state from _runbook_migrations order by 1"), "health": self.health(), "may write": self.may_write()}

    def may_write(self):
        connection = connect_postgres(self.pg.as_user("APP"))
        try:
            with connection.cursor() as cursor:
                cursor.execute("update customers set name = name where id = 1")
            return True
        finally:
            connection.close()


def last(result):
    """How the run ended."""
    return [e for e in result.events() if e["event"] == "run.finished"][-1]


def undone(result):
    """The steps that were undone, in their order."""
    return [e["step"] for e in result.events() if e["event"] == "undo.finished"]

"""Prisma's migrations on a real PostgreSQL, with a stand-in for its program that writes the rows it would write."""
from urllib.parse import urlsplit

from adapters import standins  # noqa: F401 (a fixture)
from evaluate import evaluate


def project(tmp_path, *migrations):
    folder = tmp_path / "playbooks/prisma"
    for name, sql in migrations:
        (folder / "migrations" / name).mkdir(parents=True, exist_ok=True)
        (folder / "migrations" / name / "migration.sql").write_text(sql)
    (folder / "migrations/migration_lock.toml").write_text('provider = "postgresql"\n')
    (folder / "schema.prisma").write_text("datasource db {}\n")


ONE, TWO = ("20260101_one", "create table one (id int)"), ("20260201_two", "create table two (id int)")


def ask(runbook, playbook, standins, database, code):  # noqa: F811
    return evaluate(runbook, playbook, 'local prisma = require "prisma"\nlocal S = "prisma/schema.prisma"\n' + code,
                    needs='shell = { "npx prisma" }, files = { "prisma/" }', params='prod = { "database", access = "write", required = true, doc = "x" }',
                    arguments=["--prod", database.as_user("MIGRATE")], env=standins.env)


def test_deployed_and_looked_at(runbook, playbook, standins, scratch, tmp_path):  # noqa: F811
    database = scratch("PG")
    project(tmp_path, ONE, TWO)
    seen = ask(runbook, playbook, standins, database, """
      local before, pending = prisma.state(p.prod, S), prisma.status(p.prod, S).pending
      local result = prisma.deploy(p.prod, { schema = S, lock_timeout = "30s" })
      return { before, pending, result.applied, prisma.state(p.prod, S), #prisma.status(p.prod, S).pending, #prisma.drift(p.prod, S), #prisma.deploy(p.prod, { schema = S }).applied }
    """)
    assert seen == ["absent", ["20260101_one", "20260201_two"], ["20260101_one", "20260201_two"], "done", 0, 0, 0]
    password = urlsplit(database.as_user("MIGRATE")).password
    assert password not in (standins.folder / "calls").read_text()


def test_one_that_fails(runbook, playbook, standins, scratch, tmp_path):  # noqa: F811
    project(tmp_path, ONE, ("20260201_two", "create table one (id int)"))
    standins.set("npx", {"drift": "-- AlterTable\nALTER TABLE \"one\" ADD COLUMN \"x\" TEXT;\n\n-- DropTable\nDROP TABLE\n  \"old\";"})
    seen = ask(runbook, playbook, standins, scratch("PG"), """
      local failure = try(prisma.deploy, p.prod, { schema = S })
      local state, failed = prisma.state(p.prod, S), prisma.status(p.prod, S).failed
      prisma.resolve(p.prod, { rolled_back = "20260201_two", schema = S })
      return { failure.kind, state, failed, prisma.state(p.prod, S), prisma.drift(p.prod, S) }
    """)
    assert seen == ["shell.exit", "partial", ["20260201_two"], "absent", ['ALTER TABLE "one" ADD COLUMN "x" TEXT', 'DROP TABLE "old"']]


def test_refusals(runbook, playbook, standins, scratch, tmp_path):  # noqa: F811
    project(tmp_path, ONE)
    errors = ask(runbook, playbook, standins, scratch("PG"), """
      return { try(prisma.deploy, p.prod), try(prisma.deploy, p.prod, { shema = S }), try(prisma.state, p.prod, "schema.sql"), try(prisma.resolve, p.prod, { schema = S }) }
    """)
    assert [e["message"] for e in errors] == [
        "prisma.deploy: argument 2 'options': option 'schema' is required", "prisma.deploy: argument 2 'options': unknown option 'shema' (did you mean 'schema'?)",
        "prisma.state: argument 2 'schema': a file schema.prisma expected, got 'schema.sql'", "prisma.resolve: argument 2 'options': one of 'applied' and 'rolled_back' expected"]

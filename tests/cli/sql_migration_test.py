"""playbooks/sql_migration.lua for real: a PostgreSQL with an application on it, a stand-in for kubectl. There, back by both ways, and through a kill."""
import pytest
from adapters import standins  # noqa: F401 (a fixture)
from migration_shop import GOOD, Shop, last, undone

from conftest import ROOT


@pytest.fixture
def shop(runbook, scratch, standins, tmp_path):  # noqa: F811
    folder = tmp_path / "shop"
    folder.mkdir()
    made = Shop(runbook, scratch, standins, folder, ROOT / "playbooks/sql_migration.lua")
    made.options = ["--free", "0"]
    made.asked = [("reviewed by two engineers", "url"), ("rehearsed on a copy of production, rollback included", "url"), ("change request approved", "ticket")]
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_from_start_to_end(shop):
    shop.write(*GOOD)
    shop.seen.clear()
    result = shop.run()
    assert result.exit == 0, result.out + result.err
    facts = shop.facts()
    assert facts["versions"] == [(1, "done"), (2, "done"), (3, "done")] and ("by_name",) in facts["indexes"]
    assert shop.pg.sql("select count(*) from customers where mail = name || '@example.org'") == [(500,)]
    assert (facts["rows"], facts["health"], facts["may write"]) == ([(500, 500)], 200, True) and shop.seen == {200, 503}
    assert len(list((shop.folder / "backup").glob("*.dump"))) == 1
    steps = {e["step"]: e.get("result") for e in result.events() if e["event"] == "step.finished"}
    assert steps["test restore"]["restored"] is True and steps["migrate"] == {"applied": 2, "version": 3}
    assert shop.runbook("report", "r").exit == 0


BAD = {
    "a migration that fails": ([("003_fails.sql", "alter table nowhere add column x int;\n"), ("003_fails.down.sql", "select 1;\n")], "migrate", "down"),
    "a schema that is not sound": ([("003_more.sql", "alter table orders add constraint small check (id < 100) not valid;\n"), ("003_more.down.sql", "alter table orders drop constraint small;\n")],
                                   "the schema is not what the plan says", "down"),
    "rows that are lost": ([("003_clean.sql", "delete from orders where id > 100;\n"), ("003_clean.down.sql", "select 1;\n")], "tables have lost rows", "restore"),
}


@pytest.mark.parametrize("what", BAD)
def test_back_to_what_was(shop, what):
    before = shop.facts()
    files, why, way = BAD[what]
    shop.write(*GOOD[:2], *files)
    result = shop.run()
    assert result.exit == 1, result.out + result.err
    end = last(result)
    assert end["outcome"] == "rolled_back" and why in end["why"], end
    assert undone(result)[-3:] == ["migrate", "fence on", "maintenance on"]
    assert [e.get("way") or "down" for e in result.events() if e["event"] == "rollback.started"] == [way]
    assert shop.facts() == before


def test_nothing_to_apply_disturbs_nobody(shop):
    shop.seen.clear()
    result = shop.run()
    assert result.exit == 1 and "expected: there is something to apply, got false" in result.out
    assert shop.seen <= {200}


@pytest.mark.parametrize("point", [70, 115])
def test_killed_and_resumed(shop, point):
    shop.write(*GOOD)
    killed = shop.run(RUNBOOK_FAILPOINT=f"all:{point}")
    assert killed.exit == -9, killed.out
    resumed = shop.resume()
    assert resumed.exit == 0, resumed.out + resumed.err
    facts = shop.facts()
    assert facts["versions"] == [(1, "done"), (2, "done"), (3, "done")] and facts["health"] == 200 and facts["may write"]

"""playbooks/live_migration.lua for real: users write all the while, somebody is in the way for a moment, and the way back loses nothing of theirs."""
import threading

import pytest
from adapters import standins  # noqa: F401 (a fixture)
from migration_shop import GOOD, Shop, last, undone

from conftest import ROOT, connect_postgres


class Users:
    """Somebody who writes orders as the application, one transaction after the other, until they are told to stop."""

    def __init__(self, shop):
        self.url, self.stop, self.written, self.problems = shop.pg.as_user("APP"), threading.Event(), 0, []
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        connection = connect_postgres(self.url)
        with connection.cursor() as cursor:
            while not self.stop.wait(0.01):
                try:
                    cursor.execute("insert into orders select max(id) + 1, 1 from orders")
                    cursor.execute("update customers set name = name where id = 7")
                    self.written += 1
                except Exception as problem:  # noqa: BLE001 (whatever users would have seen)
                    self.problems.append(str(problem))
        connection.close()

    def end(self):
        self.stop.set()
        self.thread.join()


@pytest.fixture
def shop(runbook, scratch, standins, tmp_path):  # noqa: F811
    folder = tmp_path / "shop"
    folder.mkdir()
    made = Shop(runbook, scratch, standins, folder, ROOT / "playbooks/live_migration.lua")
    made.asked = [("scripts reviewed by the team, rehearsed on a copy of production", "url"), ("the application runs on the old schema and on the new one", "url"),
                  ("on-call has read this plan", None)]
    made.options = ["--archived", "false", "--deploy", "deployment/api"]
    users = Users(made)
    yield made, users
    users.end()
    made.server.shutdown()
    made.server.server_close()


def test_users_notice_nothing(shop):
    shop, users = shop
    shop.write(*GOOD)
    shop.seen.clear()
    holder = connect_postgres(shop.pg.as_user("APP"))
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("select count(*) from customers")  # in the way of the first migration, until it has waited

    def free(event):
        if event["event"] == "log" and "in the way: session" in event.get("text", ""):
            holder.rollback()

    result = shop.run(watch=free)
    holder.close()
    users.end()
    assert result.exit == 0, result.out + result.err
    assert not users.problems and users.written > 50
    assert shop.pg.sql("select count(*) from orders") == [(500 + users.written,)]
    facts = shop.facts()
    assert facts["versions"] == [(1, "done"), (2, "done"), (3, "done")] and ("by_name",) in facts["indexes"]
    assert shop.seen == {200}  # no maintenance page, no workload was touched
    waited = [e["text"] for e in result.events() if e["event"] == "log"]
    assert any("alter table" not in text and "no lock within 3s, try 1 of 21; in the way: session" in text for text in waited), waited
    watched = {e["monitor"] if "monitor" in e else e.get("step") for e in result.events() if e["event"] == "monitor.sampled"}
    assert "beside the migration" in watched, watched


def test_the_way_back_keeps_what_users_wrote(shop):
    shop, users = shop
    before = {name: value for name, value in shop.facts().items() if name != "rows"}
    shop.write(*GOOD, ("004_more.sql", "alter table orders add constraint small check (id < 100) not valid;\n"), ("004_more.down.sql", "alter table orders drop constraint if exists small;\n"))
    result = shop.run()
    users.end()
    assert result.exit == 1, result.out + result.err
    assert last(result)["outcome"] == "rolled_back" and "the schema is not what the plan says" in last(result)["why"]
    assert undone(result) == ["migrate"]
    assert {name: value for name, value in shop.facts().items() if name != "rows"} == before
    assert shop.pg.sql("select count(*) from orders") == [(500 + users.written,)]


def test_with_downtime_the_workload_is_stopped_and_has_its_replicas_again(shop):
    shop, users = shop
    shop.write(*GOOD)
    shop.options += ["--downtime", "true"]
    result = shop.run()
    users.end()
    assert result.exit == 0, result.out + result.err
    assert shop.standins.get("kubectl")["deployment/api"]["spec"]["replicas"] == 2
    calls = shop.standins.calls()
    assert "kubectl scale deployment/api --replicas=0" in calls and "kubectl scale deployment/api --replicas=2" in calls


def test_a_migration_without_a_way_back_is_refused(shop):
    shop, users = shop
    shop.write(GOOD[0])
    result = shop.run()
    assert result.exit == 1 and "expected: a down file for 002 mail, got false" in result.out
    assert shop.facts()["versions"] == [(1, "done")]

"""The two playbooks of ./dev demo, as the demo runs them: there and, with a fault, back again."""
import sqlite3

import pytest


@pytest.fixture
def shop(runbook, example, tmp_path):
    """The sample shop, made by its playbook; runs the quickstart on it."""

    class Shop:
        folder = tmp_path / "work"
        source = folder / "shop.db"
        target = folder / "new.db"
        backup = folder / "backup"

        def quickstart(self, *options):
            return runbook("exec", example / "quickstart.lua", "--source", f"sqlite:{self.source}", "--target",
                           f"sqlite:{self.target}", "--folder", f"{self.backup}/", "--approve", "open", *options)

    Shop.folder.mkdir()
    made = runbook("exec", example / "sample_shop.lua", "--shop", f"sqlite:{Shop.source}", "--orders", 3000)
    assert made.exit == 0, made.out + made.err
    return Shop()


def rows(path, table):
    database = sqlite3.connect(path)
    try:
        return database.execute(f"select * from {table} order by 1").fetchall()
    finally:
        database.close()


def tables(path):
    database = sqlite3.connect(path)
    try:
        return [name for (name,) in database.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")]
    finally:
        database.close()


def test_every_row_arrives(shop):
    report = shop.folder / "report.html"
    result = shop.quickstart("--report", report)
    assert result.exit == 0, result.out + result.err
    for table, count in (("customers", 2000), ("products", 200), ("orders", 3000)):
        assert len(rows(shop.source, table)) == count
        assert rows(shop.target, table) == rows(shop.source, table)
    assert not (shop.backup / "closed.txt").exists()
    assert report.read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_the_backup_is_one(shop):
    result = shop.quickstart("--output", "json")
    assert result.exit == 0, result.out + result.err
    dump = next(e["result"] for e in result.events() if e["event"] == "step.finished" and e["step"] == "backup")
    assert rows(dump["file"], "customers") == rows(shop.source, "customers")


def test_a_fault_leads_back(shop):
    result = shop.quickstart("--fault", "orders", "--output", "json")
    assert result.exit == 1, result.out + result.err
    events = [e for e in result.events() if "seq" in e]
    retried = [e for e in events if e["event"] == "attempt.failed"]
    assert [(e["step"], e["attempt"]) for e in retried] == [("lose a row", 1)]
    judged = [e for e in events if e["event"] == "checkpoint.judged" and not e["passed"]]
    assert [(e["step"], e["verdict"], e["why"]) for e in judged] == [
        ("data verified", "rollback", "the copy differs from its source")]
    # Every step that started, newest first; what is kept says so.
    back = [(e["event"], e["step"]) for e in events if e["event"] in ("undo.finished", "undo.kept", "undo.failed")]
    assert [step for _, step in back if step in ("copy", "close the shop")] == ["copy", "close the shop"]
    assert not [step for event, step in back if event == "undo.failed"]
    assert events[-1]["event"] == "run.finished"
    assert (events[-1]["outcome"], events[-1]["exit"]) == ("rolled_back", 1)
    assert tables(shop.target) == []
    assert not (shop.backup / "closed.txt").exists()
    assert len(rows(shop.source, "orders")) == 3000


def test_a_target_that_holds_something_is_refused(shop):
    database = sqlite3.connect(shop.target)
    database.execute("create table precious (id integer)")
    database.close()
    result = shop.quickstart()
    assert result.exit == 2
    assert "precious" in result.err
    assert tables(shop.target) == ["precious"]
    assert not shop.backup.exists()

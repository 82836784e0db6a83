"""The README's playbook is taken from the README and run, with a SQLite database on both sides."""
import re
import sqlite3
import subprocess

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def shop(tmp_path, playbook):
    """The README's playbook beside a shop.db, and its folder."""
    source = re.search(r"^```lua\n(.*?)^```$", README, re.M | re.S).group(1)
    path = playbook(source, "shop.lua")
    with sqlite3.connect(path.parent / "shop.db") as database:
        database.execute("create table orders (id integer primary key, customer text not null, total numeric)")
        database.executemany("insert into orders values (?, ?, ?)", [(i, f"customer {i} 🙂", f"{i}.50") for i in range(1, 1001)])
    database.close()
    return path


def commands():
    """The lines of the README's second shell block, without their comments."""
    block = re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)[1]
    return [line.split("#")[0].split() for line in block.splitlines()]


def test_playbook_is_short():
    lines = re.search(r"^```lua\n(.*?)^```$", README, re.M | re.S).group(1).splitlines()
    assert len(lines) <= 15


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[1])
def test_commands_work_as_printed(runbook, shop, words):
    result = runbook(*words[1:], cwd=shop.parent)
    assert result.exit == 0, result.out + result.err
    if words[1] == "exec" and "--dry-run" not in words:
        with sqlite3.connect(shop.parent / "copy.db") as database:
            assert database.execute("select count(*), sum(total) from orders").fetchone() == (1000, 501000.0)
    else:
        assert not (shop.parent / "copy.db").exists()


def test_help_lists_the_parameters(runbook, shop):
    result = runbook("exec", shop, "--help")
    assert result.exit == 0
    assert "--source" in result.out and "where the data is" in result.out
    assert "--target" in result.out and "empty database to fill" in result.out


def test_dev_knows_the_verbs_that_are_shown():
    for verb in sorted(set(re.findall(r"\./dev (\w+)", README))):
        shown = subprocess.run([ROOT / "dev", verb, "--help"], capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr
        assert f"./dev {verb}" in shown.stdout

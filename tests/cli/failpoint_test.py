"""RUNBOOK_FAILPOINT: where a test ends the program, and what it says of nonsense."""
import signal

BOOK = """
local p = playbook "points" { summary = "two effects", needs = { files = { "./" } } }
step "one" { undo = keep "x", run = function() fs.write("one.txt", "1") end }
step "two" { undo = keep "x", idempotent = true, run = function() fs.write("two.txt", "2") end }
"""


def test_counts_and_kills_where_it_counted(runbook, tmp_path):
    (tmp_path / "p.lua").write_text(BOOK)
    assert runbook("exec", "p.lua", cwd=tmp_path, env={"RUNBOOK_FAILPOINT": f"count:{tmp_path}/points"}).exit == 0
    points = (tmp_path / "points").read_text().split()
    assert points.count("effect.before") == points.count("effect.inside") == points.count("effect.after") == 2
    assert points.count("journal.before") == points.count("journal.inside") == points.count("journal.after") > 6
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).unlink()
    killed = runbook("exec", "p.lua", "--run-id", "k", cwd=tmp_path, env={"RUNBOOK_FAILPOINT": "effect.inside:2"})
    assert killed.exit == -signal.SIGKILL
    # a file that is not whole has no name yet: nothing is left of it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "one.txt", "p.lua", "points"]
    assert runbook("resume", "k", cwd=tmp_path).exit == 0
    assert (tmp_path / "two.txt").read_text() == "2"


def test_raises_on_demand(runbook, tmp_path):
    (tmp_path / "p.lua").write_text(BOOK)
    failed = runbook("exec", "p.lua", "--output", "json", cwd=tmp_path, env={"RUNBOOK_FAILPOINT": "effect.before:2:raise"})
    assert failed.exit == 1
    error = next(event for event in failed.events() if event["event"] == "step.failed")["error"]
    assert (error["kind"], error["message"]) == ("failpoint", "failpoint effect.before was crossed 2 times")


def test_nonsense_is_refused(runbook, tmp_path):
    (tmp_path / "p.lua").write_text(BOOK)
    for value in ("effect.before", "effect.before:0", "effect.before:x", "all:1:sometimes", "count:"):
        refused = runbook("exec", "p.lua", cwd=tmp_path, env={"RUNBOOK_FAILPOINT": value})
        assert refused.exit == 2
        assert f"RUNBOOK_FAILPOINT={value}: not a failpoint" in refused.err
        assert "write POINT:N, POINT:N:raise or count:FILE, with N from 1; POINT may be all" in refused.err
    assert not (tmp_path / "one.txt").exists()

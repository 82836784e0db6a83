"""Files in playbooks: confined to needs.files, refused while loading and without a way back."""


def test_write_and_the_way_back(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { files = { "work/" } } }
        step "folder" { undo = function() fs.remove "work" end, run = function() fs.mkdir "work" end }
        step "write" { undo = function() fs.remove "work/a.txt" end,
          run = function() fs.write("work/a.txt", "new\\n") return { text = fs.read "work/a.txt", size = fs.size "work/a.txt" } end }
        step "fail" { undo = keep "nothing", run = function() error "on purpose" end }
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    written = [e for e in result.events() if e["event"] == "step.finished" and e["step"] == "write"][0]
    assert written["result"] == {"text": "new\n", "size": 4}
    assert not (path.parent / "work").exists()


def test_outside_of_needs(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { files = { "work/" } } }
        step "escape" { undo = keep "nothing", run = function() fs.write("work/../out.txt", "x") end }
    """)
    (path.parent / "work").mkdir()
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    error = [e for e in result.events() if e["event"] == "step.failed"][0]["error"]
    assert error["kind"] == "permission"
    assert 'step "escape" may not touch `work/../out.txt`: needs.files allows' in error["message"]
    assert not (path.parent / "out.txt").exists()


def test_no_effect_while_the_file_loads(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { files = { "./" } } }
        fs.write("early.txt", "x")
        step "a" { run = function() return 1 end }
    """)
    result = runbook("exec", path.name, cwd=path.parent)
    assert result.exit == 2, result
    assert "playbook.lua:2: fs.write has an effect, and a playbook only declares while it loads" in result.err
    assert not (path.parent / "early.txt").exists()


def test_no_effect_without_a_way_back(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { files = { "./" } } }
        step "a" { run = function() fs.write("a.txt", "x") end }
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    assert result.exit == 1, result
    assert not (path.parent / "a.txt").exists()
    error = [e for e in result.events() if e["event"] == "step.failed"][0]["error"]
    assert error["kind"] == "permission"
    assert error["message"].startswith("fs.write ")


def test_a_dry_run_writes_nothing(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { files = { "./" } } }
        step "a" { undo = keep "x", run = function() fs.write("a.txt", "x") end }
    """)
    runbook("exec", path.name, "--dry-run", cwd=path.parent)
    assert not (path.parent / "a.txt").exists()

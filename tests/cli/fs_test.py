"""Files in playbooks: confined to needs.files, refused while loading and without a way back."""
from evaluate import evaluate


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
        step "escape" { undo = keep "nothing", run = function() fs.write("work" .. "/../out.txt", "x") end }
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


def test_lines_moves_modes_and_patterns(runbook, playbook):
    seen = evaluate(runbook, playbook, r"""
      fs.mkdir "work/deep"
      fs.write("work/a.txt", "one\r\ntwo\n\nlast")
      fs.write("work/b.txt", "x")
      fs.move("work/b.txt", "work/deep/c.txt")
      fs.chmod("work/a.txt", "0600")
      local s, d = fs.stat "work/a.txt", fs.disk "work"
      return { fs.lines "work/a.txt", fs.exists "work/b.txt", fs.read "work/deep/c.txt", s.type, s.mode, s.size, s.link, time.since(s.modified) < 600, fs.stat("work").type,
        fs.glob "work/*.txt", fs.glob "work/*", fs.glob "work/*.none", d.free <= d.total, try(fs.move, "work/none", "work/x"), try(fs.chmod, "work/a.txt", "rw"), try(fs.stat, "work/none"),
        try(fs.glob, "/etc/*.conf").kind, try(fs.glob, "work/../*").kind, try(fs.move, "work/a.txt", "/tmp/a.txt").kind }
    """, needs='files = { "work/" }')
    assert seen == [["one", "two", "", "last"], False, "x", "file", "0600", 14, False, True, "folder", ["work/a.txt"], ["work/a.txt", "work/deep/"], seen[11], True,
                    {"kind": "fs", "message": "work/none to work/x: no such file or directory"},
                    {"kind": "argument", "message": "fs.chmod: argument 2 'mode': octal digits such as 0640 expected, got 'rw'"},
                    {"kind": "fs", "message": "work/none: no such file or directory"}, "permission", "permission", "permission"]
    assert not seen[11]


def test_links_lead_nowhere_else(runbook, playbook, tmp_path):
    """Through a link to a folder, to a file, and to a file that is not there yet, which opening the link would make."""
    work = tmp_path / "playbooks/work"
    work.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("theirs")
    (work / "folder").symlink_to(outside)
    (work / "file").symlink_to(outside / "file")
    (work / "dangling").symlink_to(outside / "new")
    (work / "chain").symlink_to(work / "dangling")
    (work / "inside").symlink_to(work / "mine")
    kinds = evaluate(runbook, playbook, """
      local found = {}
      for i, path in ipairs { "work/folder/x", "work/file", "work/dangling", "work/chain", "work/folder/../x", "work/inside" } do
        local ok = try(fs.touch, path)
        found[i] = type(ok) == "table" and ok.kind or ok
      end
      return found
    """, needs='files = { "work/" }')
    assert kinds == ["permission"] * 5 + ["no error"]
    assert [p.name for p in outside.iterdir()] == ["file"] and (outside / "file").read_text() == "theirs" and (work / "mine").exists()

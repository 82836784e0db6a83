"""What a playbook needs: found in its text, seen by a dry run, widened by who runs it."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

PLAYBOOK = """
    local p = playbook "x" { summary = "x", params = { app = { "url", default = "http://127.0.0.1:1/", doc = "x" } },
      needs = { shell = { "touch", "unused *" }, ssh = { "web1" }, files = { "work/" } } }
    local unit = "echo"
    -- sh.run { "in a comment" }
    step "one" { undo = keep "nothing", run = function()
      sh.run { "touch", "work/a" }
      shell.run({ unit, "x" })
      sh.pipe { { "printf", "x" }, { "sort" }, reads = true }
      fs.write("out.txt", "x")
    end }
    local function never(list)
      sh.run(list)
      sh.run { "a | b", shell = true }
      http.get(p.app .. "health")
      http.post "https://api.example.com/v1/x"
      ssh.run("web2", { "true" })
      fs.copy("work/a", list[1])
    end
"""


def test_needs_are_found_in_the_text(runbook, playbook):
    path = playbook(PLAYBOOK)
    result = runbook("check", path, "--needs")
    assert result.exit == 0, result
    assert result.out == f"""\
-- {path}
needs = {{
  shell = {{ "touch", "echo", "printf", "sort", "sh" }},
  ssh = {{ "web2" }},
  http = {{ "api.example.com" }},
  files = {{ "out.txt", "work/a" }},
}}
{path}:7: warning: sh.run: needs.shell does not allow echo
{path}:8: warning: sh.pipe: needs.shell does not allow printf
{path}:8: warning: sh.pipe: needs.shell does not allow sort
{path}:13: warning: sh.run: needs.shell does not allow sh
{path}:16: warning: ssh.run: needs.ssh does not allow web2
{path}:15: warning: http.post: needs.http does not allow api.example.com
{path}:9: warning: fs.write: needs.files does not allow out.txt
{path}:12: sh.run: what it touches is known only when it runs; a dry run shows it
{path}:17: fs.copy: what it touches is known only when it runs; a dry run shows it
"""


def test_a_dry_run_says_what_was_asked_for(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "touch", "unused *" }, http = { "127.0.0.1" } } }
        step "one" { undo = keep "nothing", run = function() sh.run { "touch", "a" } end }
        checkpoint "up" { run = http.probe("http://127.0.0.1:1/"), pass = function(up) return up == false end }
    """)
    result = runbook("exec", path, "--dry-run")
    assert "  asked for: shell touch · http 127.0.0.1:1\n" in result.out, result
    assert "  in needs, and not asked for: shell unused *\n" in result.out


def test_who_runs_it_may_allow_more_and_that_is_journaled(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "true" } } }
        local sh, programs = sh, { "echo", "printf" }
        step "one" { undo = keep "nothing", run = function() sh.run { programs[1], "hi" } end }
        step "two" { undo = keep "nothing", run = function() sh.run { programs[2], "hi" } end }
    """)
    refused = runbook("exec", path, "--output", "json")
    assert refused.exit == 1, refused
    error = [e for e in refused.events() if e["event"] == "step.failed"][0]["error"]
    assert error["message"] == f'step "one" may not run `echo`: needs.shell allows true ({path}:1)'
    assert error["hint"] == "add it to needs.shell in the playbook's header, or allow it for one run with --allow-shell"
    assert error["where"]["line"] == 3
    allowed = runbook("exec", path, "--output", "json", "--allow-shell", "echo", "--allow-shell", "printf *", "--allow-files", "x/")
    assert allowed.exit == 0, allowed
    widened = [e for e in allowed.events() if e["event"] == "needs.widened"]
    assert len(widened) == 1
    assert widened[0]["allow"] == [{"kind": "shell", "what": "echo"}, {"kind": "shell", "what": "printf *"}, {"kind": "files", "what": "x/"}]
    assert widened[0]["by"]
    assert "beyond needs: shell echo, shell printf *, files x/" in runbook("show", "last").out


def test_a_resume_keeps_what_was_allowed(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "true" } } }
        gate "go" { role = "dba", ask = "go?" }
        step "one" { undo = keep "nothing", run = function() sh.run { "echo", "hi" } end }
    """)
    held = runbook("exec", path, "--detach", "--allow-shell", "echo")
    assert held.exit == 3, held
    assert runbook("approve", "last", "go").exit == 0
    result = runbook("resume", "last")
    assert result.exit == 0, result


def test_the_plan_says_that_commands_are_outside_of_the_fence(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "echo" }, ssh = { "web1" }, files = { "x/" } } }
        step "one" { undo = keep "nothing", run = function() sh.run { "echo" } end }
    """)
    plan = runbook("plan", path).out
    assert "these commands can do whatever their user may: http and files do not bind them" in " ".join(plan.split())
    assert "  ssh    web1\n         commands there can do whatever their user may\n" in plan
    path.write_text(path.read_text().replace("needs = {", "needs = { confine = true,"))
    assert "the kernel confines these commands to the files below" in " ".join(runbook("plan", path).out.split())


def test_a_confined_command_reaches_what_is_declared(runbook, playbook, tmp_path):
    path = playbook(f"""
        playbook "x" {{ summary = "x", needs = {{ shell = {{ "sh", "true" }}, files = {{ "{tmp_path}/in/" }}, confine = true }} }}
        step "one" {{ undo = keep "nothing", run = function()
          local inside = sh.run {{ "sh", "-c", "echo x > {tmp_path}/in/a && cat {tmp_path}/in/a" }}
          local outside = sh.run {{ "sh", "-c", "echo x > /etc/runbook-test", any_exit = true }}
          return {{ inside = inside.out, outside = outside.exit, said = outside.err }}
        end }}
    """)
    (tmp_path / "in").mkdir()
    result = runbook("exec", path, "--output", "json")
    if "the kernel cannot confine it" in result.out:
        return
    assert result.exit == 0, result
    got = [e for e in result.events() if e["event"] == "step.finished"][0]["result"]
    assert got["inside"] == "x\n"
    assert got["outside"] != 0 and "Permission denied" in got["said"]


HEADER = """
    local p = playbook "x" { summary = "x", params = { to = { "path", default = "out.txt", doc = "x" }, app = { "url", default = "http://app.test/", doc = "x" } },
      needs = { shell = { "true", "git status" }, ssh = { "web1" }, http = { "api.test" }, files = { "work/", "to" }, net = { "db1:5432" }, redis = { "cache:6379" } } }
"""


def run_of(*lines):
    body = "\n".join(lines)
    return f'{HEADER}step "one" {{ undo = keep "nothing", run = function()\n{body}\nend }}\n'


@pytest.mark.parametrize("line, refused", [
    ('sh.run { "touch", "world" }', 'sh.run: needs.shell allows true, git status (PATH:1), not touch: add "touch" to it, or allow it for one run with --allow-shell touch'),
    ('sh.run({ "touch", "world" }, {})', "not touch:"),
    ('sh.run { "touch world", shell = true }', "sh.run: needs.shell allows true, git status (PATH:1), not sh:"),
    ('sh.pipe { { "true" }, { "touch", "world" } }', "sh.pipe: needs.shell allows true, git status (PATH:1), not touch:"),
    ('local program = "touch" sh.run { program, "world" }', "not touch:"),
    ('ssh.run("web2", { "true" })', 'ssh.run: needs.ssh allows web1 (PATH:1), not web2: add "web2" to it'),
    ('http.get "https://evil.test/x?y=1"', "http.get: needs.http allows api.test, http://app.test/ (PATH:1), not evil.test:"),
    ('http.post("https://evil.test/" .. p.to, { json = {} })', "not evil.test:"),
    ('http.download("https://api.test/x", "elsewhere")', "http.download: needs.files allows work/, out.txt (PATH:1), not elsewhere:"),
    ('fs.write("world", "x")', "fs.write: needs.files allows work/, out.txt (PATH:1), not world:"),
    ('fs.move("work/a", "world")', "fs.move: needs.files allows work/, out.txt (PATH:1), not world:"),
    ('net.tcp "db2:5432"', "net.tcp: needs.net allows db1:5432 (PATH:1), not db2:5432:"),
    ('redis.connect "redis://other"', "redis.connect: needs.redis allows cache:6379 (PATH:1), not redis://other:"),
])
def test_what_the_text_alone_shows_is_refused_before_anything_ran(runbook, playbook, line, refused):
    path = playbook(run_of('sh.run { "true" }', line))
    expected = refused.replace("PATH", str(path))
    result = runbook("exec", path, cwd=path.parent)
    assert result.exit == 2, result
    assert f"error: {path}:5: {expected}" in result.err if ": needs." in refused else f"{path}:5: " in result.err and expected in result.err, result
    assert not (path.parent / "world").exists()
    assert runbook("runs", "--output", "json").out == "", "no run was made"
    checked = runbook("check", path, cwd=path.parent)
    assert checked.exit == 2 and expected in checked.out, checked


def test_all_that_is_missing_is_told_at_once_and_may_be_allowed_for_one_run(runbook, playbook):
    path = playbook(run_of('fs.write("a", "x")', 'sh.run { "touch", "b" }'))
    refused = runbook("exec", path, cwd=path.parent)
    assert refused.exit == 2, refused
    assert f"{path}:4: fs.write: " in refused.err and f"{path}:5: sh.run: " in refused.err
    allowed = runbook("exec", path, "--allow-files", "a", "--allow-shell", "touch", cwd=path.parent)
    assert allowed.exit == 0, allowed
    assert (path.parent / "a").exists() and (path.parent / "b").exists()


def test_the_value_of_a_path_parameter_counts(runbook, playbook):
    path = playbook(run_of('fs.write(p.to, "x")').replace(', "to"', ""))
    inside = runbook("exec", path, "--to", "work/x", cwd=path.parent)
    assert "needs.files" not in inside.err, inside
    outside = runbook("exec", path, "--to", "world", cwd=path.parent)
    assert outside.exit == 2 and f"{path}:4: fs.write: needs.files allows work/ ({path}:1), not world:" in outside.err, outside


@pytest.mark.parametrize("lines", [
    ['sh.run { "tr" .. "ue" }'],
    ['sh.run { "git", "status" }'],
    ['local program = "touch"', 'local function call(program) if program then sh.run { program } end end', "call()"],
    ['local program = "touch"', "for _, program in ipairs {} do sh.run { program } end"],
    ['local a, program = "touch", "true"', "sh.run { program }"],
    ['local mode = "touch"', 'if p.to == "" then sh.run { mode == "touch" and "true" or "rm" } end'],
    ['local sh = { run = function() end }', 'sh.run { "touch" }'],
    ['local http = { get = function() end }', 'http.get "https://evil.test/"'],
    ['if p.to == "" then redis.connect "redis://cache" end'],
    ['if p.to == "" then net.tcp "db1:9999" end'],
    ['if p.to == "" then http.get(p.app .. "health") end'],
    ['if p.to == "" then fs.glob "work/*.csv" end'],
    ['-- sh.run { "touch", "world" }', 'local text = [[ sh.run { "touch" } ]]'],
])
def test_what_is_declared_or_not_certain_is_not_refused_before(runbook, playbook, lines):
    path = playbook(run_of(*lines))
    (path.parent / "work").mkdir()
    result = runbook("exec", path, cwd=path.parent)
    assert result.exit == (1 if "git" in lines[0] else 0), result


def test_a_declared_file_that_is_not_there_opens_its_folder_for_making_files_alone(runbook, playbook, tmp_path):
    # /tmp is open to confined commands: this wants a folder that is not
    place = next((p for p in map(Path, ("/work", "/srv", "/root", str(Path.home()))) if p.is_dir() and os.access(p, os.W_OK)), None)
    if place is None:
        pytest.skip("no folder outside of /tmp can be written")
    folder = Path(tempfile.mkdtemp(prefix="runbook-confine-", dir=place))
    try:
        (folder / "beside").write_text("hush")
        (folder / "there").write_text("old")
        path = playbook(f"""
            playbook "x" {{ summary = "x", needs = {{ shell = {{ "sh" }}, files = {{ "{folder}/new", "{folder}/there" }}, confine = true }} }}
            step "one" {{ undo = keep "nothing", run = function()
              local function try(script) return sh.run({{ "sh", "-c", script, any_exit = true }}).exit == 0 end
              return {{ made = try "echo x > {folder}/new", read = try "cat {folder}/beside", listed = try "ls {folder}", removed = try "rm {folder}/beside",
                folder = try "mkdir {folder}/sub", link = try "ln -s /etc {folder}/link", there = try "cat {folder}/there && echo y > {folder}/there" }}
            end }}
        """)
        result = runbook("exec", path, "--output", "json")
        if "the kernel cannot confine it" in result.out:
            pytest.skip("no Landlock here")
        assert result.exit == 0, result
        got = [e for e in result.events() if e["event"] == "step.finished"][0]["result"]
        assert got == {"made": True, "read": False, "listed": False, "removed": False, "folder": False, "link": False, "there": True}
        assert (folder / "new").read_text() == "x\n" and (folder / "there").read_text() == "y\n" and (folder / "beside").read_text() == "hush"
    finally:
        shutil.rmtree(folder)

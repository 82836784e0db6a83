"""Rails applications with a stand-in for bundler; working copies with git itself."""
import json
import subprocess

import pytest
from adapters import standins  # noqa: F401 (a fixture)
from evaluate import evaluate


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "playbooks" / "app"
    (folder / "db/migrate").mkdir(parents=True)
    for name in ("20250101000000_first.rb", "20260301120000_second.rb", "note.txt"):
        (folder / "db/migrate" / name).write_text("")
    (folder / "Gemfile.lock").write_text("pg")
    (folder.parent / "new.lock").write_text("mysql2")
    return folder


NEEDS = 'shell = { "bundle exec rails *", "bundle install *" }, files = { "./" }'
OPEN = 'local rails = require "rails"\nlocal app = rails.app { dir = "app/", variables = { X = "1" } }\n'


def test_what_the_application_says(runbook, playbook, standins, app):  # noqa: F811
    answer = {"adapter": "Mysql2", "schema": 20260301120000, "text": "a\nb", "nothing": None}
    standins.set("bundle", {"answer": json.dumps(answer), "broken": {"content": 1, "group": 2}})
    seen = evaluate(runbook, playbook, OPEN + """
      local r = app:json [[ c = ActiveRecord::Base.connection; { adapter: c.adapter_name } ]]
      return { adapter = r.adapter, same = r.schema == app:newest_migration(), text = r.text, null = r.nothing == null,
        migrated = app:run("db:migrate").out, canary = rails.canary(app, { "operator", "group", "content" }) }
    """, needs=NEEDS, env=standins.env)
    assert seen == {"adapter": "Mysql2", "same": True, "text": "a\nb", "null": True, "migrated": "migrated\n", "canary": {
        "ran": 3, "failed": 2, "critical_failed": 1, "problems": ["group: group cannot be saved", "content: content cannot be saved"]}}


def test_what_goes_wrong(runbook, playbook, standins, app):  # noqa: F811
    standins.set("bundle", {"dies": True})
    errors = evaluate(runbook, playbook, OPEN + """
      return { try(app.json, app, "1"), try(rails.app, {}), try(rails.app, { dir = 5 }), try(rails.bundle, {}), try(rails.canary, app, {}), try(app.json, app, "") }
    """, needs=NEEDS, env=standins.env)
    assert [e["message"] for e in errors] == [
        "the expression printed no result: the process ended early", "rails.app: argument 1 'options': option 'dir' is required",
        "rails.app: argument 1 'options': option 'dir': string expected, got number",
        "rails.bundle: argument 1 'app': a rails.app expected, got table", "rails.canary: argument 2 'names': list of names expected",
        "rails.json: argument 2 'code': must not be empty"]


def test_the_old_gems_are_installed_after_the_old_gemfile_is_back(runbook, playbook, standins, app):  # noqa: F811
    standins.set("bundle", {})
    path = playbook(f"""
        local rails, config = require "rails", require "config"
        playbook "x" {{ summary = "x", needs = {{ {NEEDS} }} }}
        step "switch" {{ config.files {{ dir = "app/", ["Gemfile.lock"] = "new.lock" }}, rails.bundle(rails.app {{ dir = "app/" }}) }}
        step "fail" {{ run = function() error "on purpose" end, undo = keep "nothing" }}
    """)
    assert runbook("exec", path.name, cwd=path.parent, env=standins.env).exit == 1
    assert standins.get("bundle")["installed"] == ["mysql2", "pg"]
    assert (app / "Gemfile.lock").read_text() == "pg"


def git(folder, *args):
    return subprocess.run(["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.com", *args], check=True, capture_output=True, text=True,
                          timeout=30).stdout.strip()


@pytest.fixture
def copy(tmp_path):
    """A remote with two commits, and a clone of it at the first."""
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    remote.mkdir()
    git(remote, "init", "-q", "-b", "main")
    for name in ("one", "two"):
        (remote / "file").write_text(name)
        git(remote, "add", "file")
        git(remote, "commit", "-q", "-m", name)
        git(remote, "tag", name)
    subprocess.run(["git", "clone", "-q", str(remote), str(clone)], check=True, timeout=30)
    git(clone, "checkout", "-q", "one")
    return clone


def test_a_checkout_and_back(runbook, playbook, copy):
    seen = evaluate(runbook, playbook, f"""
      local git, dir = require "git", "{copy}"
      local before = git.commit(dir)
      git.fetch(dir)
      local new = git.checkout(dir, "two")
      local text = fs.read(dir .. "/file")
      local same = git.commit(dir, "two") == new and git.commit(dir, "main") == new
      local detached = tostring(git.branch(dir))
      git.checkout(dir, "main")
      local branch = git.branch(dir)
      git.checkout(dir, before)
      return {{ text, same, detached, branch, git.commit(dir) == before, git.clean(dir) }}
    """, needs=f'shell = {{ "git" }}, files = {{ "{copy}/" }}')
    assert seen == ["two", True, "nil", "main", True, True]


def test_changed_files_are_never_lost(runbook, playbook, copy):
    (copy / "file").write_text("mine")
    (copy / "new file").write_text("mine")
    seen = evaluate(runbook, playbook, f"""
      local git, dir = require "git", "{copy}"
      return {{ try(git.checkout, dir, "two"), git.changes(dir), try(git.checkout, dir, "--force"), try(git.commit, dir, "absent").kind, try(git.fetch, dir, "x", {{ timeou = 1 }}) }}
    """, needs='shell = { "git" }')
    assert seen[0] == {"kind": "git.dirty", "message": f"{copy} has 2 changed files: file, new file", "hint": "commit them, or put them away with git stash"}
    assert seen[1] == ["file", "new file"] and seen[3] == "shell.exit"
    assert seen[2]["message"] == "git.checkout: argument 2 'name': '--force' is no name"
    assert seen[4]["message"] == "git.fetch: argument 3 'options': unknown option 'timeou' (did you mean 'timeout'?)"
    assert (copy / "file").read_text() == "mine"

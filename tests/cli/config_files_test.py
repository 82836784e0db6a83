"""Files of settings: changed, put back, kept over a crash; the environment of a unit."""
import os
import stat

import pytest
from adapters import standins  # noqa: F401 (a fixture)
from evaluate import evaluate

ERB = "adapter: mysql2\n"


@pytest.fixture
def app(tmp_path):
    """An application with its settings, and what shall replace them."""
    folder = tmp_path / "playbooks"
    for name, text in {"app/config/database.yml": "adapter: pg\n", "app/Gemfile": "gem 'pg'\n", "deploy/database.yml": ERB, "deploy/Gemfile": "gem 'mysql2'\n",
                       "app/.env": "# settings\nPOOL=5\nexport HOST=a\nNAME=x"}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "app/config/database.yml").chmod(0o640)
    return folder / "app"


def run(runbook, playbook, standins, steps, exit, params="", more=""):  # noqa: F811
    path = playbook(f"""
        local config = require "config"
        local p = playbook "x" {{ summary = "x", needs = {{ shell = {{ "sudo -n systemctl" }}, files = {{ "./" }} }}, params = {{ {params} }} }}
        {steps}
        {more}
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent, env={**standins.env, "WORD": 'pa"ss\\wo%rd'})
    assert result.exit == exit, result
    return result


FAIL = 'step "fail" { run = function() error "on purpose" end, undo = keep "nothing" }'
FILES = """step "settings" { config.files { dir = "app", ["config/database.yml"] = "deploy/database.yml", Gemfile = "deploy/Gemfile",
    ["config/new.yml"] = "deploy/database.yml" } }"""


def names(app):
    return sorted(str(p.relative_to(app)) for p in app.rglob("*") if p.is_file())


def test_files_are_put_in_place(runbook, playbook, standins, app):  # noqa: F811
    run(runbook, playbook, standins, FILES, 0)
    assert (app / "config/database.yml").read_text() == ERB and (app / "config/new.yml").read_text() == ERB
    assert stat.S_IMODE((app / "config/database.yml").stat().st_mode) == 0o640
    kept = [n for n in names(app) if ".before-" in n]
    assert len(kept) == 3 and sum(n.endswith(".absent") for n in kept) == 1


def test_files_are_put_back(runbook, playbook, standins, app):  # noqa: F811
    before = {n: (app / n).read_bytes() for n in names(app)}
    run(runbook, playbook, standins, FILES, 1, more=FAIL)
    assert {n: (app / n).read_bytes() for n in names(app)} == before
    assert stat.S_IMODE((app / "config/database.yml").stat().st_mode) == 0o640


def test_a_second_attempt_keeps_the_first_original(runbook, playbook, standins, app):  # noqa: F811
    """The first attempt fails after it wrote one file: what the second finds is not the original any more."""
    steps = """
        local files = config.files { dir = "app", Gemfile = "deploy/Gemfile" }
        step "settings" { retry = { attempts = 2, initial = "10ms" }, files, action { run = function(ctx)
          if ctx.attempt == 1 then fs.write("app/Gemfile", "half written") error "on purpose" end end } }
    """
    run(runbook, playbook, standins, steps, 1, more=FAIL)
    assert (app / "Gemfile").read_text() == "gem 'pg'\n"


def test_values_of_lines(runbook, playbook, standins, app):  # noqa: F811
    step = 'step "env" { config.values("app/.env", { POOL = 20, HOST = "db.example.com", NEW = true }) }'
    run(runbook, playbook, standins, step, 0)
    assert (app / ".env").read_text() == "# settings\nPOOL=20\nexport HOST=db.example.com\nNAME=x\nNEW=true\n"


def test_values_and_edits_are_put_back(runbook, playbook, standins, app):  # noqa: F811
    steps = """step "env" { config.values("app/.env", { POOL = 20 }) }
        step "edit" { config.edit("app/Gemfile", function(text) return (text:gsub("pg", "mysql2")) end) }
        step "look" { run = function() expect.equal(fs.read "app/Gemfile", "gem 'mysql2'\\n") end }"""
    run(runbook, playbook, standins, steps, 1, more=FAIL)
    assert (app / ".env").read_text() == "# settings\nPOOL=5\nexport HOST=a\nNAME=x" and (app / "Gemfile").read_text() == "gem 'pg'\n"


UNIT = """step "unit" { config.environment("app", { DB_HOST = "db {1}", DB_PORT = 3306, DB_PASSWORD = p.word }, { dir = "units" }) }"""


def test_the_environment_of_a_unit(runbook, playbook, standins, app):  # noqa: F811
    result = run(runbook, playbook, standins, UNIT, 0, params='word = { "secret", from = "env:WORD", doc = "x" }')
    drop_in = app.parent / "units/app.service.d/runbook.conf"
    assert drop_in.read_text() == ('# Written by runbook.\n[Service]\nEnvironment="DB_HOST=db {1}"\nEnvironment="DB_PASSWORD=pa\\"ss\\\\wo%%rd"\n'
                                   'Environment="DB_PORT=3306"\n')
    assert stat.S_IMODE(drop_in.stat().st_mode) == 0o600
    assert standins.calls() == ["systemctl daemon-reload"]
    assert "wo%rd" not in result.out + result.err and b"wo%rd" not in runbook.journal.read_bytes()


def test_the_environment_is_put_back(runbook, playbook, standins, app):  # noqa: F811
    run(runbook, playbook, standins, UNIT, 1, params='word = { "secret", from = "env:WORD", doc = "x" }', more=FAIL)
    assert os.listdir(app.parent / "units/app.service.d") == []
    assert standins.calls() == ["systemctl daemon-reload"] * 2


def test_refusals(runbook, playbook):
    errors = evaluate(runbook, playbook, """
      local config = require "config"
      return { try(config.files, {}), try(config.files, { a = 5 }), try(config.files, "x"), try(config.values, "a", {}), try(config.values, "a", { ["b c"] = 1 }),
        try(config.values, "a", { b = "1\\n2" }), try(config.edit, "a"), try(config.environment, "app", {}), try(config.environment, "app", { A = 1 }, { folder = "x" }) }
    """)
    assert [e["message"] for e in errors] == [
        "config.files: argument 1 'files': no file is named: { dir = …, [\"config/app.yml\"] = \"deploy/app.yml\" }",
        "config.files: argument 1 'files': 'a': the file to put there expected, got number",
        "config.files: argument 1 'files': table expected, got string",
        "config.values: argument 2 'values': table of name = value expected",
        "config.values: argument 2 'values': 'b c' is no name of a setting",
        "config.values: argument 2 'values': 'b': a line end has no place in a value",
        "config.edit: argument 2 'fn': function expected, got nil",
        "config.environment: argument 2 'values': table of name = value expected",
        "config.environment: argument 3 'options': unknown option 'folder'"]

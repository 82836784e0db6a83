"""Templates of messages are pinned with the run, as its source is."""
import pytest

from hooks import channels, hook  # noqa: F401 (a fixture)

TEXT = """
    local p = playbook "move" { summary = "x", updates = { to = "migration", templates = "posts" } }
    notice "later" { after = "1h", to = "general", template = "later.md" }
    gate "go" { ask = "Go?" }
    followup "report" { after = "0s", template = "daily.md", to = "general", run = function() return { rows = 7 } end }
"""


@pytest.fixture
def held(runbook, playbook, hook):  # noqa: F811
    path = playbook(TEXT)
    channels(path, hook)
    posts = path.parent / "posts"
    posts.mkdir()
    for name, text in (("started.md", "Started\n"), ("done.md", "Done in {elapsed}\nas planned\n"), ("later.md", "Later\n"), ("daily.md", "{result.rows} rows\n")):
        (posts / name).write_text(text, encoding="utf-8")
    assert runbook("exec", path.name, "--run-id", "r1", "--detach", cwd=path.parent).exit == 3
    return posts


@pytest.mark.parametrize("name, text, message", [
    ("done.md", "Done in {elapsed}\nat last\n", "posts/done.md:2: the template has changed since run r1 started"),
    ("later.md", "Now\n", "posts/later.md:1: the template has changed since run r1 started"),
    ("daily.md", None, "posts/daily.md: the template is gone, and run r1 started with it"),
    ("failed.md", "Failed\n", "posts/failed.md: the template was not there when run r1 started"),
])
def test_a_changed_template_is_refused_like_source(runbook, held, hook, name, text, message):  # noqa: F811
    before = (held / name).read_text(encoding="utf-8") if (held / name).exists() else None
    if text is None:
        (held / name).unlink()
    else:
        (held / name).write_text(text, encoding="utf-8")
    for verb in ("resume", "rollback"):
        result = runbook(verb, "r1")
        assert (result.exit, result.err) == (2, f"error: {message}\nhint: put it back as it was, or resume with --accept-changed\n")
    if before is None:
        (held / name).unlink()
    else:
        (held / name).write_text(before, encoding="utf-8")
    assert runbook("resume", "r1", "--approve", "go").exit == 0
    assert any(text.startswith("Done in ") and text.endswith("\nas planned") for text in hook.texts("/migration"))


def test_accepted_it_is_what_is_posted_and_a_follow_up_has_what_was_pinned(runbook, held, hook):  # noqa: F811
    (held / "done.md").write_text("Done at last", encoding="utf-8")
    result = runbook("resume", "r1", "--accept-changed", "--approve", "go")
    assert result.exit == 0, result
    assert hook.texts("/migration")[-1] == "Done at last"
    (held / "daily.md").write_text("another text", encoding="utf-8")
    assert runbook("due").exit == 0
    assert hook.texts("/general") == ["7 rows"]


def test_an_edit_while_the_run_goes_on_does_not_reach_it(runbook, playbook, hook):  # noqa: F811
    path = playbook("""
        local p = playbook "move" { summary = "x", needs = { files = { "posts/" } }, updates = { to = "migration", templates = "posts/" } }
        step "a" { undo = keep "x", run = function() fs.write("posts/done.md", "edited") end }
    """)
    channels(path, hook)
    (path.parent / "posts").mkdir()
    (path.parent / "posts" / "done.md").write_text("as it was", encoding="utf-8")
    assert runbook("exec", path.name, cwd=path.parent).exit == 0
    assert hook.texts("/migration")[-1] == "as it was"

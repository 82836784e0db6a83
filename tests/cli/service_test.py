"""systemd's units, with stand-ins for systemctl, journalctl and sudo."""
from adapters import standins  # noqa: F401 (a fixture)
from evaluate import evaluate

NEEDS = 'shell = { "sudo -n systemctl", "sudo -n journalctl", "systemctl" }'


def ask(runbook, playbook, standins, code):  # noqa: F811
    return evaluate(runbook, playbook, 'local service = require "service"\n' + code, needs=NEEDS, env=standins.env)


def test_start_stop_and_state(runbook, playbook, standins):  # noqa: F811
    standins.set("systemctl", {"app": {"ActiveState": "inactive"}})
    seen = ask(runbook, playbook, standins, """
      local before = service.state "app"
      local up = service.start("app", { active = "20s" })
      local down = service.stop("app", { inactive = "20s" })
      service.start("app", { sudo = false, active = "20s" })
      return { before, up, down, service.state "app" }
    """)
    assert seen == ["inactive", "active", "inactive", "active"]
    assert standins.calls() == ["systemctl start app", "systemctl stop app", "systemctl start app"]


def test_what_goes_wrong(runbook, playbook, standins):  # noqa: F811
    standins.set("systemctl", {"app": {"ActiveState": "inactive", "fail_start": True}, "slow": {"ActiveState": "activating"}})
    errors = ask(runbook, playbook, standins, """
      return { try(service.start, "app", { active = "20s" }), try(service.state, "absent"), try(service.start, "absent"),
        try(service.start, "-f"), try(service.start, "app", { activ = 1 }), try(service.stop, "app", { inactive = "soon" }), try(service.state) }
    """)
    assert errors[0]["kind"] == "service.state" and errors[0]["hint"] == "journalctl -u app"
    assert errors[0]["message"].startswith("app: was started, but it is failed (failed, exit-code) after ")
    assert errors[1] == {"kind": "service.unknown", "message": "systemd knows no unit 'absent'",
                         "hint": "the name of the unit without .service, as systemctl status takes it"}
    assert errors[2]["kind"] == "shell.exit"
    assert [e["message"] for e in errors[3:]] == [
        "service.start: argument 1 'unit': '-f' is no name",
        "service.start: argument 2 'options': unknown option 'activ' (did you mean 'active'?)",
        "service.stop: argument 2 'options': option 'inactive': duration such as 30s or 10m expected, got 'soon'",
        "service.state: argument 1 'unit': string expected, got nil"]


def test_the_log(runbook, playbook, standins):  # noqa: F811
    standins.set("journal", [[100, "old FATAL"], [200, "fine"], [300, "FATAL: no"], [400, "Mysql2::Error (x)"]])
    seen = ask(runbook, playbook, standins, """
      return { service.log("app", { since = 200 }), service.log("app", { since = time.parse "1970-01-01T00:05:00Z", matching = { "FATAL", "Mysql2::Error" } }),
        service.log("app", { since = 0, lines = 1 }), service.log("app", { matching = "FATAL" }), #service.log("app", { since = ctx.started }) }
    """)
    assert seen == [["fine", "FATAL: no", "Mysql2::Error (x)"], ["FATAL: no", "Mysql2::Error (x)"], ["Mysql2::Error (x)"], {}, 0] or \
        seen == [["fine", "FATAL: no", "Mysql2::Error (x)"], ["FATAL: no", "Mysql2::Error (x)"], ["Mysql2::Error (x)"], [], 0]


def test_a_toggle_and_its_way_back(runbook, playbook, standins):  # noqa: F811
    """Stop, change, start: on the way back it is stopped, changed back and started again."""
    standins.set("systemctl", {"app": {"ActiveState": "active"}})
    path = playbook("""
        local service = require "service"
        playbook "x" { summary = "x", needs = { shell = { "sudo -n systemctl" }, files = { "./" } } }
        local running = service.running("app", { active = "20s", inactive = "20s" })
        step "stop" { running.off }
        step "change" { run = function() fs.write("a.txt", "new") end, undo = function() fs.remove "a.txt" end }
        step "start" { running.on }
        step "fail" { run = function() error "on purpose" end, undo = keep "nothing" }
    """)
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent, env=standins.env)
    assert result.exit == 1, result
    assert standins.calls() == ["systemctl stop app", "systemctl start app", "systemctl stop app", "systemctl start app"]
    assert standins.get("systemctl")["app"]["ActiveState"] == "active" and not (path.parent / "a.txt").exists()


def test_a_dry_run_changes_and_awaits_nothing(runbook, playbook, standins):  # noqa: F811
    standins.set("systemctl", {"app": {"ActiveState": "active"}})
    path = playbook("""
        local service = require "service"
        playbook "x" { summary = "x", needs = { shell = { "sudo -n systemctl" } } }
        local running = service.running("app", { inactive = "10m" })
        step "stop" { running.off }
        step "start" { running.on }
    """)
    result = runbook("exec", path.name, "--dry-run", cwd=path.parent, env=standins.env)
    assert "systemctl stop app" in result.out or '"stop"' in result.out, result.out + result.err
    assert standins.calls() == [] and standins.get("systemctl")["app"]["ActiveState"] == "active"

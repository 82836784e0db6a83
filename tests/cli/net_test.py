"""Names and TCP ports: who answers, who does not, and for how long a run waits."""
import socket
import threading
import time

import pytest
from evaluate import evaluate

NEEDS = 'net = { "localhost", "127.0.0.1", "no-such-host.invalid", "192.0.2.1" }'


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_who_answers(runbook, playbook, port):
    seen = evaluate(runbook, playbook, f"""
      local answer = net.tcp "localhost:{port}"
      return {{ address = answer.address, port = answer.port, attempts = answer.attempts, fast = answer.elapsed < 5,
        up = net.reachable "127.0.0.1:{port}", down = net.reachable "127.0.0.1:{free_port()}",
        names = net.resolve "127.0.0.1" }}
    """, needs=NEEDS)
    assert seen == {"address": "127.0.0.1", "port": port, "attempts": 1, "fast": True, "up": True, "down": False, "names": ["127.0.0.1"]}


def test_who_does_not(runbook, playbook):
    closed = free_port()
    errors = evaluate(runbook, playbook, f"""
      return {{ try(net.tcp, "127.0.0.1:{closed}"), try(net.resolve, "no-such-host.invalid"), try(net.tcp, "localhost"),
        try(net.tcp, "localhost:99999"), try(net.tcp, "a/b:1"), try(net.tcp, "[::1"), try(net.resolve, "localhost:5"),
        try(net.tcp, "10.1.2.3:80"), try(net.tcp, "localhost:1", {{ timout = "1s" }}) }}
    """, needs=NEEDS)
    assert [e["kind"] for e in errors] == ["net.connection", "net.dns", "usage", "usage", "usage", "usage", "usage", "permission", "argument"]
    assert errors[0]["message"] == f"connecting to 127.0.0.1:{closed}: 127.0.0.1: connection refused"
    assert errors[1]["message"].startswith("looking up no-such-host.invalid: cannot look up 'no-such-host.invalid': ")
    assert [e["message"] for e in errors[2:]] == [
        "'localhost' is no address: the port is missing",
        "'localhost:99999' is no address: the port is a number from 1 to 65535",
        "'a/b:1' is no address: a host name holds letters, digits, dots and hyphens",
        "'[::1' is no address: ']' is missing",
        "net.resolve: 'localhost:5' has a port; give the host alone",
        'step "evaluate" may not reach `10.1.2.3:80`: needs.net allows localhost, 127.0.0.1, no-such-host.invalid, 192.0.2.1 (evaluate.lua:1)',
        "net.tcp: argument 2 'options': unknown option 'timout' (did you mean 'timeout'?)"]


def test_waits_until_somebody_answers(runbook, playbook):
    wanted = free_port()
    started = threading.Event()
    listeners = []

    def open_late():
        started.wait(20)
        listeners.append(socket.create_server(("127.0.0.1", wanted)))

    thread = threading.Thread(target=open_late)
    thread.start()
    threading.Timer(0.5, started.set).start()
    try:
        seen = evaluate(runbook, playbook, f'return net.tcp("127.0.0.1:{wanted}", {{ within = "60s", every = "50ms" }}).attempts', needs=NEEDS)
    finally:
        started.set()
        thread.join()
        listeners[0].close()
    assert seen > 1


def test_a_full_backlog_ends_at_the_deadline_or_with_the_step(runbook, playbook):
    """A listener that nobody accepts from, with its queue full, swallows further connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        where = listener.getsockname()
        held = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(where)
            held.append(one)
        time.sleep(0.1)
        errors = evaluate(runbook, playbook, f"""
          return {{ try(net.tcp, "127.0.0.1:{where[1]}", {{ timeout = "200ms" }}),
            try(deadline, "200ms", function() net.tcp("127.0.0.1:{where[1]}", {{ timeout = "1h" }}) end) }}
        """, needs=NEEDS)
        for one in held:
            one.close()
    assert errors[0] == {"kind": "net.timeout", "message": f"connecting to 127.0.0.1:{where[1]}: no answer within 200ms"}
    assert errors[1]["kind"] == "timeout"


def test_the_hosts_of_parameters_are_allowed(runbook, playbook, port):
    seen = evaluate(runbook, playbook, f'return {{ net.reachable "127.0.0.1:{port}", try(net.reachable, "127.0.0.2:{port}").kind }}',
                    params='app = { "url", required = true, doc = "x" }', arguments=["--app", f"http://127.0.0.1:{port}/"])
    assert seen == [True, "permission"]


def test_the_plan_names_what_may_be_reached(runbook, playbook):
    path = playbook('playbook "x" { summary = "x", needs = { net = { "db.example.com:5432" } } }\nstep "a" { run = function() end }\n')
    out = runbook("plan", path.name, cwd=path.parent).out
    assert "  net    db.example.com:5432\n" in out and "redis" not in out

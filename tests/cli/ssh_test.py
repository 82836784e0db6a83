"""Commands on another host: the lab's sshd on the loopback, through the system's ssh, as sh.run does them here."""
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import lab_url
from live_test import wait_for

@pytest.fixture
def remote(runbook, playbook):
    """Runs the body of a step with `run(command)` for the lab's host; returns result and the step's last event."""
    target, port, key, known = (lab_url(f"SSHD_{name}") for name in ("TARGET", "PORT", "KEY", "KNOWN_HOSTS"))
    options = f'{{ port = {port}, identity = "{key}", known_hosts = "{known}", config = "/dev/null" }}'

    class Remote:
        host = target

        def text(self, body, options=options, needs="127.0.0.1", named=f'"{target}"'):
            return f"""
                local p = playbook "x" {{ summary = "x", needs = {{ ssh = {{ "{needs}" }} }},
                  params = {{ token = {{ "secret", from = "env:MY_TOKEN", doc = "x" }} }} }}
                local host = ssh.host({named}, {options})
                local run = host.run
                step "do" {{ undo = keep "nothing", run = function() {body} end }}
            """

        def exec(self, body, **more):
            path = playbook(self.text(body, **more))
            return runbook("exec", path, "--output", "json", env={"MY_TOKEN": "s3cret-token-9"})

        def result(self, body, **more):
            done = self.exec(body, **more)
            assert done.exit == 0, done
            return [e for e in done.events() if e["event"] == "step.finished"][0]["result"]

        def error(self, body, exit=1, **more):
            done = self.exec(body, **more)
            assert done.exit == exit, done
            name = "step.failed" if exit == 1 else "step.in_doubt"
            event = [e for e in done.events() if e["event"] == name][0]
            return event.get("error", event)

    return Remote()


def test_output_status_and_arguments_as_they_are(remote):
    result = remote.result(r"""return run { "sh", "-c", 'printf "%s|" "$@"; echo e >&2; exit 3', "-", "a b", "$HOME", "*", "it's", 'q"', "",
                               "back\\slash", "two\nlines", "ünï", "!x", exit = { 3 } }""")
    assert result["out"] == "a b|$HOME|*|it's|q\"||back\\slash|two\nlines|ünï|!x|"
    assert (result["exit"], result["err"], result["left"]) == (3, "e\n", [])


def test_environment_folder_and_input_count_there(remote):
    result = remote.result(r"""return run { "sh", "-c", 'pwd; echo "$A|${B-none}"; cat | wc -c; cat', cwd = "/usr", env = { A = "it's a\nb", B = null },
                               stdin = ("x"):rep(300000) }""")
    assert result["out"] == "/usr\nit's a\nb|none\n300000\n"
    assert remote.result('return run { "cat" }')["out"] == ""
    binary = remote.result(r'return run({ "od", "-An", "-tx1", stdin = "a\0b\255" }).out')
    assert binary.split() == ["61", "00", "62", "ff"]


def test_lines_arrive_while_it_runs(remote):
    done = remote.exec(r"""run { "sh", "-c", "echo one; echo two >&2; printf three" }""")
    assert sorted(e["text"] for e in done.events() if e["event"] == "output") == ["one", "three", "two"]


def test_its_own_status_and_a_lost_connection_are_told_apart(remote):
    assert remote.result('return run({ "sh", "-c", "exit 255", any_exit = true }).exit') == 255
    error = remote.error('run { "sh", "-c", "echo bad >&2; exit 255" }')
    assert (error["kind"], error["message"]) == ("shell.exit", f"`echo bad >&2; exit 255` on `{remote.host}` exited with status 255: bad")
    error = remote.error('run { "sh", "-c", "kill -9 $(ps -o ppid= -p $PPID); sleep 3117" }', exit=4)  # sshd's process for this connection
    assert f"on `{remote.host}`: the connection was lost while it ran" in error["why"]
    assert gone()


def test_what_cannot_be_started(remote):
    error = remote.error('run { "no-such-program-here" }')
    assert (error["kind"], error["message"]) == (
        "shell.not_found", f"`no-such-program-here` on `{remote.host}`: no program 'no-such-program-here' in PATH")
    error = remote.error('run { "true", cwd = "/no/where" }')
    assert error["kind"] == "fs"
    assert error["message"].startswith(f"`true` on `{remote.host}`: working folder '/no/where': ")


def test_no_connection_is_its_own_kind_and_no_doubt(remote, tmp_path):
    error = remote.error('run { "true" }', options='{ port = 1, config = "/dev/null" }')
    assert error["kind"] == "ssh.connection"
    assert error["message"] == f"ssh {remote.host}: ssh: connect to host 127.0.0.1 port 1: Connection refused"
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    port, known = os.environ["RUNBOOK_LAB_SSHD_PORT"], os.environ["RUNBOOK_LAB_SSHD_KNOWN_HOSTS"]
    error = remote.error('run { "true" }', options=f'{{ port = {port}, identity = "{key}", known_hosts = "{known}", config = "/dev/null" }}')
    assert error["kind"] == "ssh.connection"
    assert "Permission denied (publickey)" in error["message"]
    assert error["hint"].startswith("no key was accepted: ")
    error = remote.error('run { "true" }', options=f'{{ port = {port}, known_hosts = "/dev/null", config = "/dev/null" }}')
    assert "Host key verification failed" in error["message"]
    assert error["hint"].startswith("the host's key is not the known one, or none is known")


def test_a_host_that_is_not_declared_or_no_host_is_refused(remote):
    done = remote.exec('run { "true" }', needs="web1")
    assert done.exit == 2 and f'not {remote.host}: add "{remote.host}" to it' in done.err, done  # the text says it: nothing ran
    error = remote.error('run { "true" }', needs="web1", named=f'("{remote.host}"):lower()')
    assert error["kind"] == "permission"
    assert error["message"].startswith(f'step "do" may not run commands on `{remote.host}`: needs.ssh allows web1 (')
    error = remote.error('ssh.run("-oProxyCommand=touch /tmp/x", { "true" })')
    assert (error["kind"], error["message"]) == ("usage", "ssh: '-oProxyCommand=touch /tmp/x' is not a host")
    error = remote.error('run { "true", pty = true }')
    assert error["message"] == "ssh.run: there is no pty on other hosts"


def test_a_secret_reaches_the_command_and_nobody_else(remote):
    done = remote.exec("""
        local r = run { "sh", "-c", "printf %s $TOKEN | wc -c; cat /proc/*/cmdline 2>/dev/null | tr '\\\\0' ' ' | grep -c '[s]3cret-token'; true",
                        env = { TOKEN = p.token } }
        return r.out""")
    assert done.exit == 0, done
    assert [e for e in done.events() if e["event"] == "step.finished"][0]["result"].split() == ["14", "0"]
    assert "s3cret-token-9" not in done.out + done.err


TREE = """run { "sh", "-c", [[trap '' TERM; (setsid sh -c 'trap "" TERM; sleep 3117; sleep 3117' &); touch FILE; sleep 3117; sleep 3117]],
               grace = "300ms"MORE }"""


def sleepers():
    """Processes of the remote trees: the commands there carry no mark of the test, but nobody else sleeps so long."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if command.startswith(b"sleep\x003117\x00"):
            found.append(int(entry.parent.name))
    return found


def running():
    deadline = time.monotonic() + 30
    while len(sleepers()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(sleepers()) == 2


def gone():
    deadline = time.monotonic() + 30
    while sleepers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not sleepers()


@pytest.fixture
def flag():
    file = Path(f"/tmp/runbook-ssh-test-{os.getpid()}")
    yield file
    file.unlink(missing_ok=True)
    for pid in sleepers():
        os.kill(pid, signal.SIGKILL)


def test_a_timeout_ends_the_remote_tree_and_says_so(remote, flag):
    error = remote.error(TREE.replace("FILE", str(flag)).replace("MORE", ', timeout = "6s"'), exit=4)
    assert error["why"].endswith(f"on `{remote.host}` did not finish within 6s; everything it started there has ended")
    assert flag.exists()
    assert not sleepers()


def test_ctrl_c_and_kill_9_of_this_program_end_the_remote_tree(remote, runbook, playbook, flag):
    path = playbook(remote.text(TREE.replace("FILE", str(flag)).replace("MORE", "")))
    for number in (signal.SIGINT, signal.SIGKILL):
        run = runbook.start("exec", path, env={"MY_TOKEN": "s3cret-token-9"})
        wait_for(flag)
        assert running()
        run.process.send_signal(number)
        result = run.finish()
        if number == signal.SIGINT:
            assert result.exit == 3, result
            assert not sleepers()
        assert gone()
        flag.unlink()


def test_what_it_leaves_running_is_named_or_ended(remote, flag):
    left = remote.result('return run({ "sh", "-c", "setsid sleep 3117 >/dev/null 2>&1 &" }).left')
    assert len(left) == 1 and left[0].endswith((" sleep", " setsid"))  # it may not have become the other yet
    assert int(left[0].split()[0]) in sleepers()
    for pid in sleepers():
        os.kill(pid, signal.SIGKILL)
    assert remote.result('return run({ "sh", "-c", "setsid sleep 3117 >/dev/null 2>&1 &", kill_leftovers = true }).left') == []
    assert gone()

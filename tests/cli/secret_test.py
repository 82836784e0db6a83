"""Where secrets come from: files, programs, Vault and AWS (both stand-ins), and that the journal keeps only that."""
import json

import pytest
from vault_standin import ROLE, SECRET_ID, TOKEN, aws, vault  # noqa: F401 fixtures


def step_error(result):
    found = [event for event in result.events() if event["event"] == "step.failed"]
    assert found, result
    return found[0]["error"] if "error" in found[0] else found[0]["data"]["error"]


def run_step(runbook, playbook, body, needs='needs = { shell = { "sh", "aws", "printf", "false" }, files = { "./" } }', **options):
    path = playbook('playbook "x" { summary = "x", %s }\nstep "a" { undo = keep "nothing", run = function(ctx)\n%s\nend }\n' % (needs, body))
    return runbook("exec", path, "--output", "json", **options)


def out_of(result):
    assert result.exit == 0, result
    event = [e for e in result.events() if e["event"] == "step.finished"][0]
    return event.get("result", event.get("data", {}).get("result"))


# How many bytes a secret has is asked of a program that gets it, since nothing else shows it.
LENGTH = 'local function length(s) return tonumber(sh.run({ "sh", "-c", "printf %s \\"$S\\" | wc -c", env = { S = s } }).out) end\n'


def test_each_source_opens_only_at_its_sink(runbook, playbook, tmp_path):
    key = runbook.home / "key"
    key.write_text("from-the-file-1\n", encoding="utf-8")
    key.chmod(0o600)
    (runbook.home / "printed").write_text("from a program", encoding="utf-8")
    result = run_step(runbook, playbook, LENGTH + """
      local all = { secret.env "SOURCE_ONE", secret.file "key", secret.command { "sh", "-c", "cat printed; echo" }, secret.open "env:SOURCE_ONE" }
      local sizes = {}
      for i, s in ipairs(all) do sizes[i] = length(s); assert(tostring(s) == "***") end
      return sizes
    """, env={"SOURCE_ONE": "from-the-environment"})
    assert out_of(result) == [20, 15, 14, 20]
    for text in ("from-the-environment", "from-the-file-1", "from a program"):
        assert text not in result.out + result.err
        assert text.encode() not in runbook.journal.read_bytes()


@pytest.mark.parametrize("body, message, hint", [
    ('secret.env "NOT_THERE"', "environment variable NOT_THERE is not set", None),
    ('secret.file "open"', "file open can be read by others: chmod 600 it", None),
    ('secret.file "none"', "file none cannot be read: no such file or directory", None),
    ('secret.file "/etc/passwd"', 'step "a" may not touch `/etc/passwd`: needs.files allows ./', None),
    ('secret.command { "id" }', 'step "a" may not run `id`: needs.shell allows sh, aws, printf, false', None),
    ('secret.command { "false" }', "`false` exited with status 1", None),
    ('secret.command { "printf", "\\n" }', "`printf ' '` printed nothing", None),
    ('secret.command { "sh", "-c", "echo pass-word-99; echo not that one >&2; exit 3" }',
     "`echo pass-word-99; echo not that one >&2; exit 3` exited with status 3: not that one", None),
    ('secret.open "pw"', "env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD or aws:NAME#FIELD expected", None),
    ('local _ = #secret.env "HOME"', "the length of a secret is part of it", None),
    ('local _ = secret.env "HOME" == secret.env "HOME"', "secrets cannot be compared", None),
    ('local _ = secret.env("HOME"):upper()', "a secret cannot be taken apart",
     "hand it to what needs it: a header, a password, env or stdin of a command, fs.write; text around it: secret.template or .."),
    ('sh.run { "printf", "x" .. secret.env "HOME" }', "sh.run: argument 1 'command': word 2: string expected, got secret", None),
    ('secret.template("{a} {b}", { a = secret.env "HOME" })', "secret.template: no part 'b' is given", None),
    ('secret.template("{pw}", { pw = secret.env "HOME", pv = 1 })', "secret.template: the text has no {pv} (did you mean 'pw'?)", None),
    ('secret.template("{a}", { a = "plain" })', "secret.template: none of its parts is a secret", None),
    ('string.format("%5.1s", secret.env "HOME")', "string.format: a secret fits %s alone", None),
])
def test_refusals(runbook, playbook, body, message, hint):
    (runbook.home / "open").write_text("x" * 12, encoding="utf-8")
    (runbook.home / "open").chmod(0o644)
    error = step_error(run_step(runbook, playbook, body))
    assert error["message"].split(" (/")[0] == message
    if hint:
        assert error["hint"] == hint


def test_text_around_a_secret_is_a_secret(runbook, playbook):
    result = run_step(runbook, playbook, LENGTH + """
      local pw = secret.env "PW"
      local all = { "Bearer " .. pw, pw .. ":" .. 12, string.format("%s@%d/%s", pw, 7, pw), ("<%s>"):format(pw),
                    secret.template("postgres://u:{pw}@{host}/{{d}}", { pw = pw, host = "db1" }) }
      local sizes = {}
      for i, s in ipairs(all) do sizes[i] = length(s); assert(tostring(s) == "***") end
      assert(string.format("%s %d", "a", 1) == "a 1")
      return { sizes = sizes, all = all }
    """, env={"PW": "pass-word-1"})
    assert out_of(result)["sizes"] == [18, 14, 25, 13, 32]
    assert out_of(result)["all"][0] == "***"
    assert b"pass-word-1" not in runbook.journal.read_bytes()


HOLD = """
    local p = playbook "x" { summary = "x", needs = { shell = { "sh" } }, params = { token = { "secret" %s } } }
    local login = step "login" { undo = keep "nothing", run = function()
      return { token = p.token, header = "Bearer " .. p.token, plain = secret.env "PLAIN" }
    end }
    gate "go" { ask = "Go on?", role = "dba" }
    step "use" { undo = keep "nothing", run = function()
      local out = {}
      for _, name in ipairs { "token", "header", "plain" } do
        out[#out + 1] = sh.run { "sh", "-c", "printf %%s \\"$S\\" | sha256sum | cut -c1-8", env = { S = login.result[name] } }.out:sub(1, 8)
      end
      return table.concat(out, " ")
    end }
"""


def digests(*texts):
    import hashlib

    return " ".join(hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts)


def test_a_resume_fetches_again_what_a_result_holds(runbook, playbook, vault):
    vault.kv["secret/data/app"] = {"token": "first-token-value", "note": "x"}
    path = playbook(HOLD % ', from = "vault:secret/data/app#token"')
    env = vault.env(PLAIN="plain-secret-1")
    held = runbook("exec", path, "--run-id", "r1", "--detach", "--output", "json", env=env)
    assert held.exit == 3, held
    data = runbook.journal.read_bytes()
    assert b"first-token-value" not in data and b"plain-secret-1" not in data
    assert b"vault:secret/data/app#token" in data
    vault.kv["secret/data/app"]["token"] = "rotated-token-value"
    done = runbook("resume", "r1", "--approve", "go", "--output", "json", env={**env, "PLAIN": "plain-secret-2"})
    assert done.exit == 0, done
    result = [e for e in done.events() if e["event"] == "step.finished" and e["step"] == "use"][0]
    assert result.get("result", result.get("data", {}).get("result")) == digests(
        "rotated-token-value", "Bearer rotated-token-value", "plain-secret-2")


def test_a_value_on_the_command_line_is_refused_and_a_reference_is_pinned(runbook, playbook):
    path = playbook(HOLD % "")
    refused = runbook("exec", path, "--token", "typed-in-plain", env={"PLAIN": "plain-secret-1"})
    assert refused.exit == 2
    assert refused.err.startswith(
        "error: secret --token: a value on the command line can be read by every user of this machine: say where it is "
        "(--token env:NAME, file:PATH, command:PROGRAM, vault:PATH#FIELD, aws:NAME#FIELD), or set the variable RUNBOOK_TOKEN"), refused.err
    env = {"PLAIN": "plain-secret-1", "ELSEWHERE": "value-of-elsewhere"}
    held = runbook("exec", path, "--token", "env:ELSEWHERE", "--run-id", "r2", "--detach", env=env)
    assert held.exit == 3, held
    done = runbook("resume", "r2", "--approve", "go", "--output", "json", env=env)
    assert done.exit == 0, done


def test_a_short_secret_is_warned_of(runbook, playbook):
    path = playbook("""
        playbook "x" { summary = "x", params = { pin = { "secret", from = "env:PIN" } } }
        step "a" { undo = keep "nothing", run = function() log.info "the latest results of test" end }
    """)
    result = runbook("exec", path, "--output", "json", env={"PIN": "test"})
    assert result.exit == 0, result
    texts = [e.get("text", e.get("data", {}).get("text")) for e in result.events() if e["event"] == "log"]
    assert texts == ["secret --pin (env:PIN) is shorter than 8 characters: it is hidden only where it stands as a word of its own",
                     "the latest results of ***"]


# --- Vault ------------------------------------------------------------------------------------------------------------


def test_vault_reads_a_field_or_all(runbook, playbook, vault):
    vault.kv["secret/data/app"] = {"user": "app", "password": "kv-password-1", "port": 5432}
    result = run_step(runbook, playbook, LENGTH + """
      local all = secret.vault "secret/data/app"
      return { length(all.password), length(all.port), length(secret.vault("secret/data/app", { field = "password" })) }
    """, env=vault.env())
    assert out_of(result) == [13, 4, 13]


VAULT_ERRORS = {
    "denied": ({}, {"VAULT_TOKEN": "hvs.wrong-token"}, "secret.denied", "vault:secret/data/app: permission denied (403 from {url})"),
    "missing": ({}, {}, "secret.not_found", "vault:secret/data/none: nothing is there (404 from {url})"),
    "deleted": ({}, {}, "secret.not_found", "vault:secret/data/gone: nothing is there (404 from {url})"),
    "limited": ({"secret/data/app": [(429, '{"errors":["request path \\"x\\": rate limit quota exceeded"]}')] * 3}, {}, "secret.unavailable",
                'vault:secret/data/app: request path "x": rate limit quota exceeded (429 from {url})'),
    "broken": ({"secret/data/app": [(500, "<html>oops</html>")] * 3}, {}, "secret.unavailable", "vault:secret/data/app: no reason given (500 from {url})"),
    "no json": ({"secret/data/app": [(200, "<html>hello</html>")]}, {}, "secret.invalid", "vault:secret/data/app: the answer is no JSON"),
    "no data": ({"secret/data/app": [(200, "{}")]}, {}, "secret.invalid", "vault:secret/data/app: the answer has no data"),
    "no field": ({}, {}, "secret.invalid", "vault:secret/data/app: no field 'pasword' (did you mean 'password'?)"),
    "no address": ({}, {"VAULT_ADDR": None}, "usage", "vault: its address is not known"),
    "no token": ({}, {"VAULT_TOKEN": None}, "usage", "vault: no token"),
}


@pytest.mark.parametrize("case", VAULT_ERRORS)
def test_what_vault_refuses(runbook, playbook, vault, case):
    fail, env, kind, message = VAULT_ERRORS[case]
    vault.kv.update({"secret/data/app": {"user": "app", "password": "kv-password-1"}, "secret/data/gone": None})
    vault.fail.update({path: list(answers) for path, answers in fail.items()})
    path = {"missing": "none", "deleted": "gone"}.get(case, "app")
    field = "pasword" if case == "no field" else "password"
    error = step_error(run_step(runbook, playbook, f'return secret.vault("secret/data/{path}", {{ field = "{field}" }})', env=vault.env(**env)))
    assert (error["kind"], error["message"]) == (kind, message.format(url=vault.url))


def test_a_sealed_vault_and_one_that_is_not_there(runbook, playbook, vault):
    vault.sealed = True
    error = step_error(run_step(runbook, playbook, 'secret.vault "secret/data/app"', env=vault.env()))
    assert (error["kind"], error["message"]) == ("secret.unavailable", f"vault:secret/data/app: Vault is sealed (503 from {vault.url})")
    assert error["hint"] == "unseal Vault, or wait until it is up"
    error = step_error(run_step(runbook, playbook, 'secret.vault "secret/data/app"', env=vault.env(VAULT_ADDR="http://127.0.0.1:1")))
    assert error["kind"] == "secret.unavailable"
    assert error["message"].startswith("vault:secret/data/app: ")


def test_an_answer_that_does_not_come_is_cut_by_the_time_limit(runbook, playbook, vault):
    vault.kv["secret/data/app"] = {"password": "kv-password-1"}
    vault.fail["secret/data/app"] = [30]
    error = step_error(run_step(runbook, playbook, 'deadline("300ms", function() secret.vault "secret/data/app" end)', env=vault.env()))
    assert error["kind"] == "timeout"


def test_too_many_requests_are_waited_out(runbook, playbook, vault):
    vault.kv["secret/data/app"] = {"password": "kv-password-1"}
    vault.fail["secret/data/app"] = [(429, '{"errors":[]}'), (502, "")]
    result = run_step(runbook, playbook, 'return tostring(secret.vault("secret/data/app", { field = "password" }))', env=vault.env())
    assert out_of(result) == "***"
    assert vault.asked("secret/data/app") == 3


def test_a_lease_is_shared_renewed_and_revoked(runbook, playbook, vault):
    vault.roles["database/creds/app"] = 2
    path = playbook("""
        local p = playbook "x" { summary = "x", needs = { shell = { "sh" } },
          params = { user = { "secret", from = "vault:database/creds/app#username" }, password = { "secret", from = "vault:database/creds/app#password" } } }
        step "a" { undo = keep "nothing", run = function()
          local again = secret.vault "database/creds/app"
          sh.run { "sh", "-c", [[while [ ! -e renewed ]; do sleep 0.05; done; test "$A" = "$B"]], env = { A = p.password, B = again.password } }
        end }
    """)
    run = runbook.start("exec", path, "--output", "json", env=vault.env())
    import time

    limit = time.monotonic() + 40
    while vault.renewals < 2:
        assert time.monotonic() < limit, vault.log
        time.sleep(0.02)
    (runbook.home / "renewed").touch()
    result = run.finish()
    assert result.exit == 0, result
    assert len(vault.issued) == 1 and vault.live == {}
    for text in (vault.issued[0]["password"], vault.issued[0]["username"], TOKEN):
        assert text not in result.out + result.err
        assert text.encode() not in runbook.journal.read_bytes()


def test_a_lease_that_cannot_be_renewed_is_told(runbook, playbook, vault):
    vault.roles["database/creds/app"] = 4
    vault.fail["sys/leases/renew"] = [(403, '{"errors":["permission denied"]}')] * 50
    vault.fail["sys/leases/revoke"] = [(500, '{"errors":["internal error"]}')]
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "sh" } }, params = { password = { "secret", from = "vault:database/creds/app#password" } } }
        step "a" { undo = keep "nothing", run = function() sh.run { "sh", "-c", "while [ ! -e told ]; do sleep 0.05; done" } end }
    """)
    run = runbook.start("exec", path, "--output", "json", env=vault.env())
    import time

    limit = time.monotonic() + 40
    while vault.asked("sys/leases/renew") < 2:
        assert time.monotonic() < limit, vault.log
        time.sleep(0.02)
    (runbook.home / "told").touch()
    result = run.finish()
    assert result.exit == 0, result
    texts = [e.get("text", e.get("data", {}).get("text")) for e in result.events() if e["event"] == "log"]
    assert len(texts) == 1 and texts[0].startswith("vault: the lease of database/creds/app was not renewed; it ends in "), texts


def test_approle_logs_in_and_leaves_no_token(runbook, playbook, vault):
    vault.kv["secret/data/app"] = {"password": "kv-password-1"}
    path = playbook("""
        playbook "x" { summary = "x", params = { password = { "secret", from = "vault:secret/data/app#password" } } }
        step "a" { undo = keep "nothing", run = function() secret.vault "secret/data/app" end }
    """)
    (path.parent / "runbook.toml").write_text(
        f'[vault]\naddress = "{vault.url}"\nrole_id = "{ROLE}"\nsecret_id = "env:APP_SECRET_ID"\n', encoding="utf-8")
    result = runbook("exec", path, env={"APP_SECRET_ID": SECRET_ID})
    assert result.exit == 0, result
    assert vault.asked("auth/approle/login") == 1
    assert vault.tokens == {TOKEN}  # the login's own was revoked
    refused = runbook("exec", path, env={"APP_SECRET_ID": "another-secret-id"})
    assert refused.exit == 2
    assert f"secret --password: vault:auth/approle/login: invalid role or secret ID (400 from {vault.url})" in refused.err


@pytest.mark.parametrize("order", ["resume", "rollback"])
def test_a_lease_of_a_killed_process_is_revoked_by_who_goes_on(runbook, playbook, vault, order):
    vault.roles["database/creds/app"] = 3600
    vault.roles["database/creds/late"] = 3600
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "sh" } }, params = { password = { "secret", from = "vault:database/creds/app#password" } } }
        step "a" { undo = keep "nothing", idempotent = true, run = function(ctx)
          if ctx.attempt > 1 then return end
          secret.vault "database/creds/late"
          sh.run { "sh", "-c", "sleep 60" }
        end }
    """)
    run = runbook.start("exec", path, "--run-id", "r1", "--output", "json", env=vault.env())
    leased = []
    while len(leased) < 2:
        event = json.loads(run.process.stdout.readline())
        if event["event"] == "secret.leased":
            leased.append(event["lease"])
    assert set(leased) == set(vault.live) and len(leased) == 2
    run.process.kill()
    run.finish()
    assert set(vault.live) == set(leased)
    again = runbook(order, "r1", "--output", "json", env=vault.env())
    assert again.exit in (0, 1), again
    revoked = [e for e in again.events() if e["event"] == "secret.revoked"]
    assert len(revoked) == 1 and set(revoked[0]["leases"]) == set(leased)
    assert revoked[0]["why"] == "Vault: 2 of 2 leases of a process that died"
    assert vault.live == {}  # the new process's own as well
    for issued in vault.issued:
        assert issued["password"].encode() not in runbook.journal.read_bytes()
    shown = runbook("show", "r1", "--audit")
    assert shown.exit == 0, shown


def test_a_lease_that_cannot_be_revoked_is_told_and_tried_again(runbook, playbook, vault):
    vault.roles["database/creds/app"] = 3600
    path = playbook("""
        playbook "x" { summary = "x", needs = { shell = { "sh" } }, params = { password = { "secret", from = "vault:database/creds/app#password" } } }
        step "a" { undo = keep "nothing", idempotent = true, run = function(ctx) if ctx.attempt < 3 then sh.run { "sh", "-c", "sleep 60" } end end }
    """)

    def killed(*command):
        run = runbook.start(*command, "--output", "json", env=vault.env())
        events = []
        while not any(e["event"] == "step.started" for e in events):
            events.append(json.loads(run.process.stdout.readline()))
        run.process.kill()
        run.finish()
        return events

    first = [e["lease"] for e in killed("exec", path, "--run-id", "r1") if e["event"] == "secret.leased"]
    assert len(first) == 1
    vault.fail["sys/leases/revoke"] = [(403, '{"errors":["permission denied"]}')]
    events = killed("resume", "r1")
    told = [e["text"] for e in events if e["event"] == "log"]
    assert len(told) == 1 and told[0].startswith(f"vault: a lease of the process that died was not revoked: {first[0]} ("), told
    assert told[0].endswith("); it ends by itself")
    last = runbook("resume", "r1", "--output", "json", env=vault.env())
    assert last.exit == 0, last
    revoked = [e for e in last.events() if e["event"] == "secret.revoked"]
    assert len(revoked) == 1 and len(revoked[0]["leases"]) == 2 and first[0] in revoked[0]["leases"]
    assert vault.live == {}


# --- AWS --------------------------------------------------------------------------------------------------------------


def test_aws_gives_a_field_the_whole_text_or_bytes(runbook, playbook, aws):
    aws.plan({"prod/db": {"SecretString": json.dumps({"username": "app", "password": "aws-password-1", "port": 3306})},
              "prod/plain": {"SecretString": "just-a-plain-text"}, "prod/bytes": {"SecretBinary": "Ynl0ZXMtb2YtaXQ="}})
    result = run_step(runbook, playbook, LENGTH + """
      return { length(secret.aws("prod/db", { field = "password" })), length(secret.aws("prod/db").username),
               length(secret.open "aws:prod/plain"), length(secret.open "aws:prod/bytes") }
    """, env=aws.env())
    assert out_of(result) == [14, 3, 17, 11]
    for text in ("aws-password-1", "just-a-plain-text"):
        assert text not in result.out + result.err
        assert text.encode() not in runbook.journal.read_bytes()


@pytest.mark.parametrize("entry, kind, message", [
    (None, "secret.not_found", "aws:prod/db: An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: "
     "Secrets Manager can't find the specified secret."),
    ({"code": "AccessDeniedException", "text": "User: x is not authorized"}, "secret.denied",
     "aws:prod/db: An error occurred (AccessDeniedException) when calling the GetSecretValue operation: User: x is not authorized"),
    ({"code": "ThrottlingException", "text": "Rate exceeded"}, "secret.unavailable",
     "aws:prod/db: An error occurred (ThrottlingException) when calling the GetSecretValue operation: Rate exceeded"),
    ({"code": "InternalServiceError", "text": "try later"}, "secret.unavailable",
     "aws:prod/db: An error occurred (InternalServiceError) when calling the GetSecretValue operation: try later"),
    ({"raw": "half of {"}, "secret.invalid", "aws:prod/db: the answer of `aws` is no JSON object"),
    ({"raw": "nothing said", "exit": 252}, "secret.unavailable", "aws:prod/db: `aws` exited with status 252"),
    ({"Name": "x"}, "secret.invalid", "aws:prod/db: it has no value"),
    ({"SecretString": "no json"}, "secret.invalid", "aws:prod/db: its text is no JSON object, so it has no fields"),
    ({"SecretString": '{"user":"x"}'}, "secret.invalid", "aws:prod/db: no field 'password'"),
])
def test_what_aws_refuses(runbook, playbook, aws, entry, kind, message):
    aws.plan({"prod/db": entry} if entry else {})
    error = step_error(run_step(runbook, playbook, 'return secret.aws("prod/db", { field = "password" })', env=aws.env()))
    assert (error["kind"], error["message"]) == (kind, message)


def test_aws_is_not_waited_for_beyond_the_time_limit(runbook, playbook, aws):
    aws.plan({"prod/db": {"wait": 60, "SecretString": "{}"}})
    error = step_error(run_step(runbook, playbook, 'deadline("500ms", function() secret.aws("prod/db") end)', env=aws.env()))
    assert error["kind"] == "timeout"

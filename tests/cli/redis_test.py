"""Redis: a real server with TLS, users and passwords (the lab's), and private ones that are killed while a command waits."""
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import lab_url
from evaluate import evaluate

CONNECT = 'local cache = redis.connect(p.cache, { user = "app", password = p.word, tls = { ca = "%s" } })\n'


@pytest.fixture
def lab(runbook, playbook):
    """Code against the lab's server, as the user app, with the keys of this test under its own prefix."""
    url, ca = lab_url("REDIS_URL"), os.environ["RUNBOOK_LAB_CA"]
    prefix = f"t{os.getpid()}-{time.monotonic_ns()}:"

    def run(code, user="app", connect=CONNECT % ca, word=None, **more):
        word = word or Path(os.environ[f"RUNBOOK_LAB_REDIS_{user.upper()}_FILE"]).read_text().strip()
        return evaluate(runbook, playbook, f'local P = "{prefix}"\n' + connect.replace('"app"', f'"{user}"') + code,
                        needs=f'redis = {{ "cache" }}, files = {{ "{ca}" }}', params='cache = { "url", required = true, doc = "x" }, word = { "secret", from = "env:WORD", doc = "x" }',
                        arguments=["--cache", url], env={"WORD": word}, **more)

    yield run
    run('cache:delete_matching(P .. "*")')


def test_keys_and_their_time_to_live(lab):
    seen = lab("""
      cache:set(P .. "a", "x\\0y\\r\\n")
      cache:set(P .. "b", "2", { ttl = "1h" })
      local later = cache:expire(P .. "a", "10m")
      return { cache:get(P .. "a") == "x\\0y\\r\\n", tostring(cache:get(P .. "none")), cache:exists(P .. "b"), cache:exists(P .. "none"), cache:ttl(P .. "b") > 3500,
        later, cache:ttl(P .. "a") > 500, tostring(cache:ttl(P .. "none")), cache:expire(P .. "none", 5), cache:delete { P .. "a", P .. "b", P .. "none" }, cache:delete {},
        cache:ping(), cache:publish(P .. "c", "x"), cache:info("server").redis_mode, cache:size() >= 0,
        cache:call { "INCRBY", P .. "n", 41 .. "" }, cache:call({ "MGET", P .. "n", P .. "none" }, { reads = true })[1] }
    """)
    assert seen == [True, "nil", True, False, True, True, True, "nil", False, 2, 0, True, 0, "standalone", True, 41, "41"]


def test_what_matches_is_removed_and_nothing_else(lab):
    seen = lab("""
      for i = 1, 1200 do cache:call { "SET", P .. "firestore:" .. i, "x" } end
      cache:set(P .. "session:1", "keep"); cache:set(P .. "fire*store:1", "odd")
      local names = cache:keys(P .. "firestore:*")
      local over = try(redis.delete_matching, cache, P .. "firestore:*", { limit = 1199 })
      local still = #cache:keys(P .. "firestore:*")
      local removed = cache:delete_matching(P .. "firestore:*", { limit = 1200 })
      local drop = require "cache".drop_prefix(p.cache, P .. "fire*", { user = "app", password = p.word, tls = { ca = "%s" } })
      return { #names, names[1] < names[2], over, still, removed, drop(), cache:get(P .. "session:1") }
    """ % os.environ["RUNBOOK_LAB_CA"])
    assert seen[:2] == [1200, True] and seen[3:] == [1200, 1200, 1, "keep"]
    assert seen[2]["kind"] == "redis.limit" and seen[2]["message"].startswith("more than 1,199 keys match 't")


def test_what_the_server_refuses(lab):
    assert lab('return try(redis.set, cache, "a", "x")', user="reader")["kind"] == "redis.permission"
    wrong = lab("return try(redis.ping, cache)", word="not the password")
    assert wrong["kind"] == "redis.auth" and "not the password" not in str(wrong)
    nobody = lab("return try(redis.ping, cache)", connect='local cache = redis.connect(p.cache, { tls = { ca = "%s" } })\n' % os.environ["RUNBOOK_LAB_CA"])
    assert nobody["kind"] == "redis.auth" and "NOAUTH" in nobody["message"]
    untrusted = lab("return try(redis.ping, cache)", connect="local cache = redis.connect(p.cache)\n")
    assert untrusted["kind"] == "tls.invalid" and "its certificate is not trusted: " in untrusted["message"]
    errors = lab("""
      cache:set(P .. "a", "x")
      return { try(redis.call, cache, { "INCR", P .. "a" }), try(redis.call, cache, { "NOSUCH" }), cache:get(P .. "a") }
    """)
    assert [errors[0]["kind"], errors[1]["kind"], errors[2]] == ["redis.command", "redis.command", "x"]


def test_refusals(lab, runbook, playbook):
    errors = lab("""
      return { try(redis.flush, cache, 3), try(redis.delete_matching, cache, "*"), try(redis.connect, "http://x"), try(redis.connect, "redis://localhost/x"),
        try(redis.connect, "redis://example.com"), try(redis.connect, (p.cache:gsub("^rediss", "redis")), { tls = {} }), try(redis.connect, p.cache, { pasword = "x" }), try(redis.call, cache, {}) }
    """)
    assert [e["message"].split(" (evaluate")[0] for e in errors] == [
        "redis.flush: the connection is to database 0, not 3", "the pattern '*' matches every key", "the address of Redis begins with redis:// or rediss://, got 'http'",
        "the address of Redis ends with the number of a database, as in /0",
        'step "evaluate" may not reach `example.com:6379`: needs.redis allows ' + lab_url("REDIS_URL"),
        "redis.connect: option 'tls' is for rediss://", "redis.connect: argument 2 'options': unknown option 'pasword' (did you mean 'password'?)",
        "redis.call: argument 2 'words': at least the command"]


# --- private servers ------------------------------------------------------------------------------------------------


@pytest.fixture
def private(tmp_path):
    """A redis-server of this test, without TLS: (process, port)."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    folder = tmp_path / "redis"
    folder.mkdir()
    process = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--databases", "4"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    yield process, port
    process.kill()
    process.wait()


def ask(runbook, playbook, port, code, database=0):
    return evaluate(runbook, playbook, f'local cache = redis.connect("redis://127.0.0.1:{port}/{database}")\n' + code, needs='redis = { "127.0.0.1" }')


def test_a_database_is_emptied_only_by_its_number(runbook, playbook, private):
    seen = ask(runbook, playbook, private[1], """
      cache:set("a", "x")
      local other = redis.connect(cache.url:gsub("/2$", "/1"), {})
      other:set("b", "y")
      local refused = try(redis.flush, cache, 1).kind
      cache:flush(2)
      return { refused, cache:size(), other:size() }
    """.replace(':gsub("/2$", "/1"), {}', ':sub(1, -2) .. "1"'), database=2)
    assert seen == ["usage", 0, 1]


def test_a_server_that_dies_in_the_middle_of_a_command(runbook, playbook, private):
    process, port = private
    threading.Timer(1, process.kill).start()
    seen = ask(runbook, playbook, port, 'local e = select(2, pcall(redis.call, cache, { "BLPOP", "none", "0" })) return { e.kind, e.in_doubt, try(redis.ping, cache).kind }')
    assert seen == ["net.connection", True, "net.connection"]


def test_a_server_that_says_nothing(runbook, playbook, private):
    process, port = private
    os.kill(process.pid, signal.SIGSTOP)
    try:
        seen = evaluate(runbook, playbook, f"""
          local cache = redis.connect("redis://127.0.0.1:{port}/0", {{ timeout = "300ms" }})
          local patient = redis.connect("redis://127.0.0.1:{port}/0", {{ timeout = "1h" }})
          return {{ try(redis.ping, cache), try(deadline, "300ms", function() patient:ping() end).kind }}
        """, needs='redis = { "127.0.0.1" }')
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert seen == [{"kind": "net.timeout", "message": f"PING at 127.0.0.1:{port}: no answer within 300ms"}, "timeout"]


def test_something_that_is_no_redis(runbook, playbook):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            connection, _ = listener.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        seen = ask(runbook, playbook, port, "return try(redis.ping, cache)")
        thread.join()
    assert seen["kind"] == "net.connection" and "what came is not Redis' protocol" in seen["message"]


def test_a_dry_run_removes_nothing(runbook, playbook, private):
    path = playbook(f"""
        local p = playbook "x" {{ summary = "x", needs = {{ redis = {{ "127.0.0.1" }} }} }}
        step "drop" {{ undo = keep "a cache", run = function() redis.connect("redis://127.0.0.1:{private[1]}/0"):delete_matching("a:*") end }}
        step "no way back" {{ run = function() redis.connect("redis://127.0.0.1:{private[1]}/0"):set("a", "x") end }}
    """)
    ask(runbook, playbook, private[1], 'cache:set("a:1", "x")')
    dry = runbook("exec", path.name, "--dry-run", cwd=path.parent)
    assert "redis.delete_matching" in dry.out, dry.out + dry.err
    assert ask(runbook, playbook, private[1], "return cache:size()") == 1
    result = runbook("exec", path.name, "--output", "json", cwd=path.parent)
    error = [e for e in result.events() if e["event"] == "step.failed"][0]["error"]
    assert error["kind"] == "permission" and "has no way back" in error["message"]

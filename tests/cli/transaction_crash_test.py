"""ctx.transaction counts exactly once, whatever ends the process or the connection, on the four engines."""
import contextlib
import signal
import socket
import threading
from urllib.parse import unquote, urlsplit

import pytest
from transaction_test import BOOK, ENGINES, counter, value  # noqa: F401 (counter is a fixture)


def test_killed_anywhere_it_counts_once(runbook, playbook, counter, tmp_path):
    path = playbook(BOOK.format(more=""))
    points = tmp_path / "points"
    counted = runbook("exec", path, "--target", counter.url, env={"RUNBOOK_FAILPOINT": f"count:{points}"})
    assert counted.exit == 0, counted.err
    assert value(counter) == 211
    # seven points, from the first effect to the last
    names = points.read_text().split()
    first = names.index("effect.before")
    last = len(names) - 1 - names[::-1].index("effect.after") + 1
    chosen = sorted({first + 1 + round(i * (last - first) / 6) for i in range(7)})
    killed = 0
    for number in chosen:
        counter.sql("update counter set n = 0")
        run = f"k{number}"
        result = runbook("exec", path, "--target", counter.url, "--run-id", run, env={"RUNBOOK_FAILPOINT": f"all:{number}"})
        assert result.exit == -signal.SIGKILL, (number, result.exit, result.err)
        killed += 1
        resumed = runbook("resume", run, env={"RUNBOOK_TARGET_PASSWORD": unquote(urlsplit(counter.url).password or "")})
        assert resumed.exit == 0, (number, names[number - 1], resumed.out)
        assert value(counter) == 211, (number, names[number - 1])
        # one marker a transaction, and the row with the token of the second holder
        assert counter.sql(f"select count(*) from _runbook_done where marker like '{run}/%'".replace("%", "%%" if counter.kind != "SQLITE" else "%"))[0][0] == 4
        assert counter.sql(f"select fence from _runbook_done where marker = '{run}'")[0][0] in (1, 2)
    assert killed >= 6


class LosingProxy(threading.Thread):
    """Passes a connection on to the server until `committed()`: that answer is swallowed and the connection is cut, once."""

    def __init__(self, url, committed):
        super().__init__(daemon=True)
        self.parts, self.committed, self.lost = urlsplit(url), committed, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        user, at, _ = self.parts.netloc.rpartition("@")
        self.url = self.parts._replace(netloc=f"{user}{at}127.0.0.1:{self.listener.getsockname()[1]}").geturl()
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((self.parts.hostname, self.parts.port))
            threading.Thread(target=self.forward, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, True), daemon=True).start()

    def forward(self, source, target, answers):
        try:
            while data := source.recv(65536):
                if answers and not self.lost and self.committed():
                    self.lost += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", ENGINES[1:])
def test_a_commit_whose_answer_is_lost_is_looked_up(runbook, playbook, scratch, kind):
    database = scratch(kind)
    database.sql("create table counter (n integer not null)")
    database.sql("insert into counter values (0)")
    watching = database.connect()

    def committed():
        with watching.cursor() as cursor:
            cursor.execute("select n from counter")
            return cursor.fetchone()[0] == 1

    proxy = LosingProxy(database.url, committed)
    path = playbook("""
        local p = playbook "count" { summary = "loses an answer", params = { target = { "database", access = "admin", required = true } } }
        local one = step "one" { undo = keep "x", run = function(ctx)
          return ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 1") return "kept" end)
        end }
        step "two" { run = function() return one.result end }
    """)
    result = runbook("exec", path, "--target", proxy.url, "--output", "json")
    proxy.listener.close()
    watching.close()
    assert result.exit == 0, result.out + result.err
    assert proxy.lost == 1
    assert value(database) == 1
    finished = [event for event in result.events() if event["event"] == "step.finished"]
    assert [event["result"] for event in finished] == ["kept", "kept"]
    assert sum(event["event"] == "step.started" for event in result.events()) == 2  # not a retry: the marker told


def test_a_commit_that_did_not_arrive_is_looked_up(runbook, playbook, scratch):
    """The server ends the session while the commit is on its way: the marker tells on a new connection."""
    database = scratch("PG")
    database.sql("create table counter (n integer not null)")
    database.sql("insert into counter values (0)")
    # a constraint trigger that runs at COMMIT and kills the session: the commit fails, and nobody says so to the client
    database.sql("create function bite() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(0.1); return null; end $$")
    database.sql("create constraint trigger biting after update on counter deferrable initially deferred for each row execute function bite()")
    path = playbook("""
        local p = playbook "count" { summary = "loses its session", params = { target = { "database", access = "admin", required = true } } }
        step "one" { undo = keep "x", run = function(ctx) ctx.transaction(p.target, function(c) db.execute(c, "update counter set n = n + 1") end) end }
    """)
    result = runbook("exec", path, "--target", database.url, "--output", "json")
    assert result.exit == 1
    error = next(event["error"] for event in result.events() if event["event"] == "step.failed")
    assert error["kind"] == "db.connection"
    assert error["message"].endswith("; its marker is not there: nothing was committed")
    assert "in_doubt" not in error
    assert value(database) == 0

"""`runbook copy` where something is wrong: privileges, local_infile, a full disk, a hostile server, a snapshot that dies, tables that change. Each
has its message, and nothing is lost."""
import json
import socket
import threading
import time
import uuid
from urllib.parse import unquote, urlsplit

import pytest
from private_mariadb import PASSWORD, MariaDB

from conftest import Scratch, lab_url


@pytest.fixture(scope="module")
def private():
    server = MariaDB("--local-infile=1", "--log-bin", "--server-id=1")
    yield server
    server.close()


@pytest.fixture(scope="module")
def shop():
    """A PostgreSQL database with 30,000 rows."""
    database = Scratch("PG", f"cb_{uuid.uuid4().hex[:12]}", lab_url("PG_ADMIN"))
    database.create()
    database.sql("create table item (id int primary key, body text)")
    database.sql("insert into item select n, repeat(md5(n::text), 20) from generate_series(1, 30000) n")
    database.sql("create table other (n int)")
    database.sql("insert into other select generate_series(1, 10)")
    database.sql("analyze")
    yield database
    database.drop()


@pytest.fixture
def copy(runbook, shop, private):
    """Copies into a fresh database of the private server, or into `target`."""
    private.sql("drop database shop", "create database shop")

    def run(*words, source=shop.url, target=private.url, password=PASSWORD, start=False, **more):
        env = {"RUNBOOK_TARGET_PASSWORD": password, "RUNBOOK_SOURCE_PASSWORD": more.pop("source_password", unquote(urlsplit(shop.url).password or ""))}
        if replica := more.pop("replica", None):
            env["RUNBOOK_REPLICA_PASSWORD"] = replica
        parts = urlsplit(source)
        plain = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()
        return (runbook.start if start else runbook)("copy", plain, target, *words, env=env, **more)

    return run


def has(result, exit, *texts):
    assert result.exit == exit, result.out + result.err
    for text in texts:
        assert text in result.err, result.err
    return True


def test_local_infile_off_is_said_with_what_to_do(copy, private):
    private.sql("set global local_infile = 0")
    try:
        result = copy()
    finally:
        private.sql("set global local_infile = 1")
    assert has(result, 2, f"mysql://tester:***@127.0.0.1:{private.port}/shop: the server has local_infile off",
               "have SET GLOBAL local_infile = ON made for the time of the copy; runbook never changes a server's settings")
    assert private.sql("show tables", database="shop") == ""


@pytest.mark.parametrize("grants, missing", [
    ("select, insert, update, delete, alter, index, drop, references, create temporary tables", "CREATE"),
    ("select, insert, update, delete, create, alter, index, drop, references", "CREATE TEMPORARY TABLES"),
    ("select, insert, update, create, alter, index, drop, references, create temporary tables", "DELETE"),
    ("select, insert, update, delete, create, index, drop, references, create temporary tables", "ALTER and INDEX"),
])
def test_a_privilege_that_the_target_needs_is_named(copy, private, grants, missing):
    private.sql("drop user if exists poor@'%'", f"create user poor@'%' identified by '{PASSWORD}'", f"grant {grants} on shop.* to poor@'%'")
    url = private.url.replace("tester@", "poor@")
    assert has(copy(target=url), 2, f"mysql://poor:***@127.0.0.1:{private.port}/shop: the user lacks the privilege {missing}\n",
               "GRANT CREATE, CREATE TEMPORARY TABLES, SELECT, INSERT, UPDATE, DELETE, ALTER, INDEX, DROP, REFERENCES ON `shop`.* TO the user of this "
               "connection; nothing was written")
    assert private.sql("show tables", database="shop") == ""


def test_a_table_that_may_not_be_read_is_named_and_so_is_row_security(copy, shop, private):
    role = f"cb_{uuid.uuid4().hex[:8]}"
    shop.sql(f"create role {role} login password '{PASSWORD}'")
    parts = urlsplit(shop.url)
    source = parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()
    try:
        shop.sql(f"grant select on item to {role}")
        assert has(copy(source=source, source_password=PASSWORD), 2, f": the role '{role}' may not SELECT from other\n",
                   "GRANT SELECT on them to the role, or leave them out with exclude")
        shop.sql(f"grant select on other to {role}")
        shop.sql("alter table item enable row level security")
        assert has(copy(source=source, source_password=PASSWORD), 2, f": row security hides rows of item from the role '{role}'\n",
                   "copy as a role with BYPASSRLS, or as the tables' owner where it is not forced")
        assert private.sql("show tables", database="shop") == ""
    finally:
        shop.sql("alter table item disable row level security")
        shop.sql(f"drop owned by {role}")
        shop.sql(f"drop role {role}")


class Liar:
    """A relay before a MySQL server that puts its own file name where the server asks for the client's."""

    def __init__(self, port):
        self.to, self.asked = port, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self.up, args=(client, server), daemon=True).start()
            threading.Thread(target=self.down, args=(server, client), daemon=True).start()

    def up(self, client, server):
        try:
            while data := client.recv(65536):
                server.sendall(data)
        except OSError:
            pass
        server.close()

    def down(self, server, client):
        stream = server.makefile("rb")
        try:
            while head := stream.read(4):
                body = stream.read(int.from_bytes(head[:3], "little"))
                if body.startswith(b"\xfbrunbook-"):
                    self.asked += 1
                    body = b"\xfb/etc/passwd"
                client.sendall(len(body).to_bytes(3, "little") + head[3:] + body)
        except OSError:
            pass
        client.close()

    def close(self):
        self.listener.close()


def test_a_server_that_asks_for_a_file_of_its_own_choice_gets_none(copy, private):
    liar = Liar(private.port)
    try:
        result = copy(target=private.url.replace(str(private.port), str(liar.port)))
    finally:
        liar.close()
    assert liar.asked > 0
    assert has(result, 1, "the server asked for another file than the copy's own")
    assert private.sql("select count(*) from item", database="shop") == "0"


def test_a_full_disk_loses_nothing_and_the_copy_goes_on_with_more_room(copy, runbook, playbook, shop):
    small = MariaDB("--local-infile=1", "--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:24M")
    fence = playbook("""
        local p = playbook "fence" { params = { source = { "database", access = "admin", required = true } } }
        step "closed" { undo = keep "a test", run = function() db.fence_on(p.source) end }
        """)
    shop_password = unquote(urlsplit(shop.url).password or "")
    parts = urlsplit(shop.url)
    plain = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()
    try:
        assert runbook("exec", fence, "--source", plain, env={"RUNBOOK_SOURCE_PASSWORD": shop_password}).exit == 0
        words = ("--fenced", "--chunk-bytes", "1000000", "--streams", "2")
        result = copy(*words, target=small.url)
        assert has(result, 1, "loading item: ", "free space on the server's disk")
        assert "(1114)" in result.err
        loaded = small.sql("select coalesce(sum(loaded), 0) from _runbook_copy where kind = 'chunk'", database="shop")
        there = [small.sql(f"select count(*) from {table}", database="shop") for table in ("item", "other")]
        assert sum(map(int, there)) == int(loaded) > 0
        small.stop()
        small.start("--local-infile=1", "--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend")
        result = copy(*words, "--resume", "--output", "json", target=small.url)
        assert result.exit == 0, result.err
        done = json.loads(result.out.splitlines()[-1])
        assert done["resumed"] and done["rows"] == 30010 and done["resumed_rows"] == int(loaded)
        assert small.sql("select count(*), count(distinct id) from item", database="shop") == "30000\t30000"
    finally:
        small.close()
        shop.sql("drop table if exists _runbook_fence")


def slow(copy, *words, **more):
    """A copy that takes some seconds, once it loads."""
    started = copy("--rate", "5000000", "--chunk-bytes", "1000000", "--streams", "2", *words, start=True, **more)
    return started


def until_loading(private, started):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and started.process.poll() is None:
        try:
            if private.sql("select count(*) from _runbook_copy where kind = 'chunk'", database="shop") not in ("", "0"):
                return
        except Exception:  # noqa: BLE001 - the table is not there yet
            time.sleep(0.05)
    assert started.process.poll() is None, "".join(started.finish())


def test_tables_cannot_be_truncated_or_changed_while_they_are_copied(copy, shop, private):
    started = slow(copy)
    until_loading(private, started)
    for statement in ("truncate other", "alter table other add column m int", "drop table other"):
        with pytest.raises(Exception, match="lock timeout"):
            shop.sql(f"set lock_timeout = '100ms'; {statement}")
    assert started.process.poll() is None
    shop.sql("insert into other values (99)")  # writers go on, and the snapshot does not see them
    result = started.finish()
    assert result.exit == 0, result.err
    assert private.sql("select count(*) from other", database="shop") == "10"
    shop.sql("delete from other where n = 99")


def test_a_snapshot_whose_session_dies_ends_the_copy_with_whole_chunks(copy, shop, private):
    started = slow(copy)
    until_loading(private, started)
    # the session that exported it is idle in its transaction
    assert shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'runbook copy' and "
                    "state = 'idle in transaction' order by xact_start limit 1") == [(True,)]
    result = started.finish()
    assert has(result, 1, "the session that held the snapshot and the locks of the copy is gone", "what was loaded is whole; see resume")
    assert private.sql("select sum(loaded) from _runbook_copy where kind = 'chunk'", database="shop") == \
        str(sum(int(private.sql(f"select count(*) from {table}", database="shop")) for table in ("item", "other")))


def test_a_snapshot_that_gets_too_old_ends_the_copy(copy, private):
    result = copy("--rate", "1000000", "--snapshot-age", "2s")
    assert has(result, 1, "the snapshot is older than 2s: it holds back the source's clean-up",
               "raise snapshot_age (--snapshot-age), or copy behind a write fence and go on with resume")
    assert "limits: snapshot 2s, lag of replicas 1m, load none, rate 1.0 MB/s" in result.err


@pytest.mark.parametrize("words, message", [
    (["--snapshot-age", "soon"], "option --snapshot-age: a duration such as 90s or 2h expected, got 'soon'"),
    (["--resume", "--anew"], "--resume and --anew exclude each other"),
    (["--chunk-bytes", "5"], "option --chunk-bytes: at least 1000000 expected"),
])
def test_words_of_the_command_line_are_checked(copy, words, message):
    assert has(copy(*words), 2, message)


def test_a_replica_that_does_not_replicate_holds_the_copy_back(copy, runbook, private):
    replica = MariaDB("--server-id=2")
    try:
        assert has(copy("--replica", replica.url, replica=PASSWORD), 2, f"mysql://tester:***@127.0.0.1:{replica.port}/shop is no replica")
        private.sql("drop database shop", "create database shop")
        file, position = private.sql("show master status").split("\t")[:2]
        replica.sql("drop database shop", "create database shop",
                    f"change master to master_host = '127.0.0.1', master_port = {private.port}, master_user = 'tester', master_password = '{PASSWORD}', "
                    f"master_log_file = '{file}', master_log_pos = {position}", "start slave io_thread")
        started = copy("--replica", replica.url, "--output", "json", replica=PASSWORD, start=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and "_runbook_copy" not in private.sql("show tables", database="shop"):
            time.sleep(0.1)
        time.sleep(2)
        assert private.sql("select count(*) from _runbook_copy where kind = 'chunk'", database="shop") == "0"
        replica.sql("start slave")
        result = started.finish()
        assert has(result, 0, f"holding the copy back: mysql://tester:***@127.0.0.1:{replica.port}/shop: replication does not run\n", "going on\n")
        done = json.loads(result.out.splitlines()[-1])
        assert done["rows"] == 30010 and done["held_s"] > 1
    finally:
        replica.close()

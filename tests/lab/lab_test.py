"""The lab itself: starting twice, TLS that is checked, refused passwords, crashes, two labs side by side, nothing left behind."""
import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path

import psycopg2
import pymysql
import pytest

LAB = Path(__file__).with_name("lab")
SERVERS = ("postgres", "mariadb", "mysql", "sshd", "nginx", "redis")


class Lab:
    def __init__(self, folder):
        self.dir = folder

    def run(self, *args, check=True):
        env = {k: v for k, v in os.environ.items() if not k.startswith("RUNBOOK_LAB_")}
        result = subprocess.run([LAB, *args], env={**env, "RUNBOOK_LAB_DIR": str(self.dir)}, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=300)
        assert not check or result.returncode == 0, result.stderr
        return result

    def env(self):
        return dict(re.findall(r"^export (\w+)='(.*)'$", self.run("env").stdout, re.M))

    def pids(self):
        return {name: int((self.dir / f"{name}.pid").read_text()) for name in SERVERS if (self.dir / f"{name}.pid").exists()}

    def processes(self):
        """Every process that works in the lab's folder or names it; zombies have neither."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                where, command = os.readlink(entry / "cwd"), (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if where.startswith(f"{self.dir}/") or f"{self.dir}/" in command:
                found.append(command)
        return found


def connect(url, password=None, ca=None):
    u = urllib.parse.urlsplit(url)
    options = dict(urllib.parse.parse_qsl(u.query))
    password, ca = password or u.password, ca or options["sslrootcert"]
    if u.scheme == "postgres":
        return psycopg2.connect(host=u.hostname, port=u.port, user=u.username, password=password, dbname=u.path[1:],
                                sslmode=options["sslmode"], sslrootcert=ca)
    return pymysql.connect(host=u.hostname, port=u.port, user=u.username, password=password, database=u.path[1:],
                           ssl={"ca": ca, "check_hostname": True, "verify_mode": "required"})


def one(connection, query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()


@pytest.fixture(scope="module")
def make():
    """Makes labs below a short folder (a socket's path has a limit) that the servers' own user can reach."""
    labs = []

    def new():
        folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/rblab.XXXXXX"], text=True).strip())
        labs.append(Lab(folder))
        return labs[-1]

    yield new
    for lab in labs:
        lab.run("down")
        assert not lab.dir.exists()


@pytest.fixture(scope="module")
def lab(make):
    lab = make()
    lab.run("up")
    return lab


URLS = [f"RUNBOOK_LAB_{server}_{role}" for server in ("PG", "MYSQL", "MARIADB") for role in ("ADMIN", "APP", "MIGRATE", "SCRATCH")]


@pytest.mark.parametrize("name", URLS)
def test_every_role_connects_with_a_verified_certificate(lab, name):
    with connect(lab.env()[name]) as connection:
        if "_PG_" in name:
            assert one(connection, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") == (True,)
        else:
            assert one(connection, "show status like 'Ssl_version'")[1].startswith("TLSv1.")


@pytest.mark.parametrize("name", [name for name in URLS if name.endswith("_APP")])
def test_a_wrong_password_is_refused(lab, name):
    with pytest.raises((psycopg2.OperationalError, pymysql.err.OperationalError)) as caught:
        connect(lab.env()[name], password="wrong")
    text = "password authentication failed for user" if "_PG_" in name else "Access denied for user 'reline_app'@'127.0.0.1'"
    assert text in str(caught.value)


@pytest.mark.parametrize("name", [name for name in URLS if name.endswith("_APP")])
def test_another_authority_is_refused(lab, name, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=another", "-keyout", tmp_path / "key",
                    "-out", tmp_path / "ca"], check=True, capture_output=True)
    with pytest.raises((psycopg2.OperationalError, pymysql.err.OperationalError), match="certificate verify failed"):
        connect(lab.env()[name], ca=str(tmp_path / "ca"))


@pytest.mark.parametrize("name", [name for name in URLS if name.endswith("_APP")])
def test_without_tls_no_server_answers(lab, name):
    u = urllib.parse.urlsplit(lab.env()[name])
    with pytest.raises((psycopg2.OperationalError, pymysql.err.OperationalError)) as caught:
        if u.scheme == "postgres":
            psycopg2.connect(host=u.hostname, port=u.port, user=u.username, password=u.password, dbname="reline", sslmode="disable")
        else:
            pymysql.connect(host=u.hostname, port=u.port, user=u.username, password=u.password, ssl_disabled=True)
    assert "no encryption" in str(caught.value) or "require_secure_transport" in str(caught.value) or "1045" in str(caught.value)


@pytest.mark.parametrize("server", ("PG", "MYSQL", "MARIADB"))
def test_roles_may_what_they_should_and_no_more(lab, server):
    env = lab.env()
    denied = (psycopg2.errors.InsufficientPrivilege, pymysql.err.OperationalError)
    with contextlib.closing(connect(env[f"RUNBOOK_LAB_{server}_MIGRATE"])) as migrate:
        if server == "PG":
            migrate.autocommit = True                 # psycopg2's own `with` would open a transaction all the same
        one_shot(migrate, "create table lab_test (id int primary key)", "create database rb_lab_test", "drop database rb_lab_test")
        with connect(env[f"RUNBOOK_LAB_{server}_APP"]) as app:
            one_shot(app, "insert into lab_test values (1)", "update lab_test set id = 2", "delete from lab_test")
            app.commit()
            with pytest.raises(denied):
                one_shot(app, "drop table lab_test" if server != "PG" else "create table other (id int)")
        one_shot(migrate, "drop table lab_test")
        if server != "PG":
            with pytest.raises(denied, match="Access denied"):
                one_shot(migrate, "create database lab_other")


def one_shot(connection, *statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_settings_that_copy_and_verify_rely_on(lab):
    env = lab.env()
    with connect(env["RUNBOOK_LAB_PG_ADMIN"]) as pg:
        assert one(pg, "select current_setting('wal_level'), current_setting('password_encryption'), current_setting('server_encoding')") \
            == ("logical", "scram-sha-256", "UTF8")
    for server in ("MYSQL", "MARIADB"):
        with connect(env[f"RUNBOOK_LAB_{server}_ADMIN"]) as db:
            assert one(db, "select @@local_infile, @@log_bin, @@binlog_format, @@character_set_server, @@require_secure_transport") \
                == (1, 1, "ROW", "utf8mb4", 1)
    with connect(env["RUNBOOK_LAB_MYSQL_ADMIN"]) as db:
        assert one(db, "select plugin from mysql.user where user = 'reline_app'") == ("caching_sha2_password",)
        assert "MariaDB" not in one(db, "select version()")[0]
    with connect(env["RUNBOOK_LAB_MARIADB_ADMIN"]) as db:
        assert "MariaDB" in one(db, "select version()")[0]


def test_the_unpacked_clients_run(lab):
    env = lab.env()
    for name in ("RUNBOOK_LAB_MYSQLDUMP", "RUNBOOK_LAB_MYSQL_CLIENT"):
        out = subprocess.run([env[name], "--version"], check=True, capture_output=True, text=True).stdout
        assert "Ver " in out and "MariaDB" not in out


def test_up_twice_starts_nothing(lab):
    pids, env = lab.pids(), lab.env()
    assert lab.run("up").stderr == ""
    assert (lab.pids(), lab.env()) == (pids, env)
    assert len(pids) == 6


def test_no_password_stands_on_a_command_line(lab):
    secrets = [f.read_text().strip() for f in (lab.dir / "secret").iterdir() if re.fullmatch(r"\w+_\w+", f.name)]
    assert len(secrets) == 19
    assert len(set(secrets)) == 19
    for command in lab.processes():
        assert not any(secret in command for secret in secrets)
    for file in (lab.dir / "secret").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_env_exec_runs_a_command_with_the_urls(lab):
    result = lab.run("env", "--exec", "sh", "-c", 'printf %s "$RUNBOOK_LAB_PG_APP"; exit 7', check=False)
    assert (result.returncode, result.stdout) == (7, lab.env()["RUNBOOK_LAB_PG_APP"])


def test_two_labs_side_by_side_and_down_leaves_nothing(lab, make):
    other = make()
    other.run("up", "postgres", "mysql")
    assert other.run("status").stdout.count(" runs ") == 2
    assert {"postgres", "mysql"} == set(other.pids())
    with connect(other.env()["RUNBOOK_LAB_PG_APP"]), connect(lab.env()["RUNBOOK_LAB_PG_APP"]):
        pass
    assert other.processes() != []
    other.run("down")
    assert not other.dir.exists()
    assert other.processes() == []
    assert lab.run("status").stdout.count(" runs ") == 6


def test_up_starts_again_what_was_killed_and_keeps_its_port(lab):
    env = lab.env()
    for pid in lab.pids().values():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while lab.run("status", check=False).returncode == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    status = lab.run("status", check=False)
    assert (status.returncode, status.stdout.count(" stopped ")) == (1, 6)
    assert lab.run("env", check=False).stderr == f"lab: error: no server of this lab runs ({lab.dir}); start it with: lab up\n"
    lab.run("up")
    assert lab.env() == env
    with connect(env["RUNBOOK_LAB_MYSQL_APP"]):
        pass


def test_down_after_a_crash_leaves_nothing(make):
    lab = make()
    lab.run("up", "postgres", "mariadb")
    os.kill(lab.pids()["postgres"], signal.SIGKILL)
    lab.run("down")
    assert not lab.dir.exists()
    assert lab.processes() == []


def test_two_ups_at_once_make_one_lab(make):
    lab = make()
    env = {**os.environ, "RUNBOOK_LAB_DIR": str(lab.dir)}
    both = [subprocess.Popen([LAB, "up", "postgres"], env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    messages = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("making a data folder" in message for message in messages) == 1


def test_a_foreign_folder_is_never_touched(tmp_path):
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/rblab.XXXXXX"], text=True).strip())
    try:
        (folder / "mine").write_text("x")
        lab = Lab(folder)
        up, down = lab.run("up", "postgres", check=False), lab.run("down", check=False)
        assert (up.returncode, up.stderr) == (
            1, f"lab: error: {folder} exists and is not a lab's folder: it has no file 'runbook-lab'\n")
        assert (down.returncode, down.stderr) == (
            1, f"lab: error: {folder} is not a lab's folder: it has no file 'runbook-lab'; nothing was removed\n")
        assert (folder / "mine").read_text() == "x"
    finally:
        (folder / "mine").unlink()
        folder.rmdir()


@pytest.mark.parametrize("args, text", [
    (("up", "oracle"), "lab: error: unknown server 'oracle' (postgres mariadb mysql sshd nginx redis)\n"),
    (("env", "--exec"), "lab: error: env --exec: which command?\n"),
    (("env", "--json"), "lab: error: env: --exec COMMAND... or nothing\n"),
])
def test_wrong_usage_exits_2(lab, args, text):
    result = lab.run(*args, check=False)
    assert (result.returncode, result.stderr) == (2, text)

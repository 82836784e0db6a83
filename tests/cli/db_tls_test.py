"""TLS of database sessions, as a playbook meets it: client certificates, wrong names and authorities, servers without TLS. What goes over the
wire is recorded by a relay in between: no password is in it. PostgreSQL runs privately here; MySQL and MariaDB are the lab's."""
import os
import socket
import struct
import subprocess
import threading
import uuid

import pytest
from private_postgres import Postgres

from conftest import connect_mysql, lab_url

PASSWORD = "open-sesame-4711"


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def authority(folder, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=folder)


def certificate(folder, by, name, subject, extensions):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={subject}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr", cwd=folder)
    (folder / f"{name}.ext").write_text(extensions + "\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-days", "3650", "-extfile", f"{name}.ext",
            "-out", f"{name}.pem", cwd=folder)
    os.chmod(folder / f"{name}.key", 0o600)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Two authorities; the first has signed a server for the name localhost alone, and a client for the role `certified`."""
    folder = tmp_path_factory.mktemp("tls")
    authority(folder, "ca")
    authority(folder, "other")
    certificate(folder, "ca", "server", "localhost", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth")
    certificate(folder, "ca", "client", "certified", "extendedKeyUsage=clientAuth")
    certificate(folder, "other", "stranger", "certified", "extendedKeyUsage=clientAuth")
    return folder


@pytest.fixture(scope="module")
def postgres(tls):
    server = Postgres("hostssl all certified 127.0.0.1/32 cert\nhostssl all secretive 127.0.0.1/32 scram-sha-256\nhostnossl all secretive 127.0.0.1/32 password\n",
                      ["ssl = on", "ssl_cert_file = '{folder}/server.pem'", "ssl_key_file = '{folder}/server.key'", "ssl_ca_file = '{folder}/ca.pem'"],
                      [tls / name for name in ("server.pem", "server.key", "ca.pem")])
    server.sql("create role certified login", f"create role secretive login password '{PASSWORD}'")
    yield server
    server.close()


class Relay:
    """Passes bytes on between a client and a server, and keeps what the client sent."""

    def __init__(self, port, address="127.0.0.1"):
        self.to, self.sent = port, bytearray()
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self.pass_on, args=(client, server, self.sent), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, bytearray()), daemon=True).start()

    @staticmethod
    def pass_on(source, target, kept):
        try:
            while data := source.recv(65536):
                kept += data
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class Thief:
    """Says that it is a MySQL server without TLS, and asks for the password: in clear text, or encrypted with a key of its own (`key`)."""

    def __init__(self, key=False):
        self.key, self.sent, self.after = key, bytearray(), bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(10)
                flags = 0xFFFFF7FF & ~0x0800  # everything but TLS
                hello = (b"\x0a8.0.36\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<H", flags & 0xFFFF) + b"\x2d\x02\0" +
                         struct.pack("<H", (flags >> 16) & 0x00FF) + b"\x15" + b"\0" * 10 + b"901234567890\0" + b"mysql_native_password\0")
                try:
                    client.sendall(struct.pack("<I", len(hello))[:3] + b"\0" + hello)
                    self.sent += client.recv(65536)
                    switch = b"\xfecaching_sha2_password\x0012345678901234567890\0" if self.key else b"\xfemysql_clear_password\0"
                    client.sendall(struct.pack("<I", len(switch))[:3] + b"\x02" + switch)
                    if self.key:
                        self.sent += client.recv(65536)
                        client.sendall(b"\x02\0\0\x04\x01\x04")
                    while data := client.recv(65536):
                        self.sent += data
                        self.after += data
                        if self.key:
                            break
                except OSError:
                    pass

    def close(self):
        self.listener.close()


@pytest.fixture
def connect(runbook, playbook):
    """What the program says where a session cannot open at this URL (after the URL), with its hint; "open" where it can."""
    file = playbook("""local p = playbook "open" { params = { db = { "database", access = "read", required = true } } }
step "look" { run = function() return db.value(p.db, "select 1") end }""")

    def go(url):
        result = runbook("exec", file, "--db", url)
        assert PASSWORD not in result.out + result.err
        if result.exit == 0:
            return "open"
        said = [line for line in result.err.splitlines() if line.startswith(("error: ", "hint: "))]
        return "\n".join(line.split(": ", 2)[-1] if line.startswith("error") else line for line in said)

    return go


PROOF = "hint: sslmode and sslrootcert in the URL say how the server proves who it is"
NOT_ACCEPTED = "hint: the server does not accept the certificate of sslcert"


def test_postgres(connect, postgres, tls):
    base = f"postgres://certified@localhost:{postgres.port}/postgres?sslmode=verify-full&sslrootcert={tls}/ca.pem"
    mine = f"{base}&sslcert={tls}/client.pem&sslkey={tls}/client.key"
    assert connect(mine) == "open"
    assert connect(base) == ("connection requires a valid client certificate (28000)\n"
                             "hint: sslcert and sslkey in the URL name the certificate of this user")
    assert connect(f"{base}&sslcert={tls}/stranger.pem&sslkey={tls}/stranger.key") == f"SSL error: tlsv1 alert unknown ca\n{NOT_ACCEPTED}"
    assert connect(mine.replace("localhost", "127.0.0.1")) == (
        f'server certificate for "localhost" (and 1 other name) does not match host name "127.0.0.1"\n{PROOF}')
    assert connect(mine.replace("ca.pem", "other.pem")) == f"SSL error: certificate verify failed\n{PROOF}"


def test_postgres_shows_no_password(connect, postgres, tls):
    relay = Relay(postgres.port)
    base = f"postgres://secretive:{PASSWORD}@localhost:{relay.port}/postgres"
    assert connect(f"{base}?sslmode=verify-full&sslrootcert={tls}/ca.pem") == "open"
    assert len(relay.sent) > 100 and PASSWORD.encode() not in relay.sent
    postgres.sql("alter system set ssl = off", "select pg_reload_conf()")
    try:
        for mode in ("require", f"verify-full&sslrootcert={tls}/ca.pem"):
            relay.sent.clear()
            assert connect(f"{base}?sslmode={mode}") == f"server does not support SSL, but SSL was required\n{PROOF}"
            assert relay.sent and PASSWORD.encode() not in relay.sent
        relay.sent.clear()
        assert connect(f"{base}?sslmode=disable") == "open"  # pg_hba.conf asks for the password itself there: what the relay would see
        assert PASSWORD.encode() in relay.sent
    finally:
        relay.close()


@pytest.mark.parametrize("server", ["MYSQL", "MARIADB"])
def test_mysql(connect, server, tls):
    admin = lab_url(f"{server}_ADMIN")
    name = f"rb_tls_{uuid.uuid4().hex[:8]}"
    ca, cert, key = (os.environ[f"RUNBOOK_LAB_{what}"] for what in ("CA", "CERT", "KEY"))
    connection = connect_mysql(admin)
    cursor = connection.cursor()
    port = int(admin.split("@")[1].split("/")[0].split(":")[1])
    cursor.execute(f"create user {name}@'%' identified by '{PASSWORD}' require x509")
    relay, elsewhere = Relay(port), Relay(port, "127.0.0.2")
    try:
        base = f"mysql://{name}:{PASSWORD}@localhost:{relay.port}/?sslmode=verify-full&sslrootcert={ca}"
        mine = f"{base}&sslcert={cert}&sslkey={key}"
        assert connect(mine) == "open"
        assert len(relay.sent) > 100 and PASSWORD.encode() not in relay.sent
        assert connect(base) == (f"access denied for user '{name}' (1045)\nhint: check the user's password (url:db), "
                                 "and whether the account may connect from this host and without a certificate (sslcert, sslkey)")
        assert connect(f"{base}&sslcert={tls}/stranger.pem&sslkey={tls}/stranger.key") == f"TLS: tlsv1 alert unknown ca (2026)\n{NOT_ACCEPTED}"
        assert connect(mine.replace(f"localhost:{relay.port}", f"127.0.0.2:{elsewhere.port}")) == f"TLS: Validation of SSL server certificate failed (2026)\n{PROOF}"
        assert connect(mine.replace(ca, f"{tls}/other.pem")) == f"TLS: self-signed certificate in certificate chain (2026)\n{PROOF}"
        assert PASSWORD.encode() not in relay.sent + elsewhere.sent
    finally:
        relay.close()
        elsewhere.close()
        cursor.execute(f"drop user {name}@'%'")
        connection.close()


def test_a_server_that_asks_for_the_password_itself_gets_none(connect, tls):
    thief = Thief()
    base = f"mysql://app:{PASSWORD}@localhost:{thief.port}/shop"
    try:
        for mode in ("require", f"verify-full&sslrootcert={tls}/ca.pem"):
            assert connect(f"{base}?sslmode={mode}") == (
                f"the server does not offer TLS, and sslmode is {mode.split('&')[0]}\nhint: turn TLS on in the server, or say sslmode=disable in the URL")
            assert PASSWORD.encode() not in thief.sent
        for mode in ("prefer", "disable"):
            assert connect(f"{base}?sslmode={mode}") == (
                "the server asks for the password itself, over a connection that does not prove who it is\n"
                "hint: sslmode=verify-full and sslrootcert in the URL prove it")
            assert thief.sent and PASSWORD.encode() not in thief.sent
    finally:
        thief.close()


def test_a_server_without_tls_gets_the_password_under_no_key_of_its_own(connect, tls):
    thief = Thief(key=True)
    try:
        url = f"mysql://app:{PASSWORD}@localhost:{thief.port}/shop?sslmode="
        assert connect(url + "require").startswith("the server does not offer TLS, and sslmode is require\n")
        assert len(thief.sent) > 50 and not thief.after
        for mode in ("prefer", "disable"):  # there the client asks for that key, and sends nothing in clear text
            connect(url + mode)
            assert thief.after and PASSWORD.encode() not in thief.sent
            thief.after.clear()
    finally:
        thief.close()

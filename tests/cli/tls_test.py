"""Certificates in files and of live servers: what is good passes, and everything that is wrong is named."""
import os
import socket
import ssl
import subprocess
import threading
from urllib.parse import urlsplit

import pytest
from conftest import lab_url
from evaluate import evaluate


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True, timeout=60)


def certificate(folder, name, common, extensions, days, issuer="ca"):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={common}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=folder)
    (folder / f"{name}.ext").write_text(extensions + "\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial", "-days", str(days),
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", cwd=folder)


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """An authority, one between, and certificates: good for 100 days, for 10, of somebody else, behind the one between."""
    folder = tmp_path_factory.mktemp("certs")
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "400", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=folder)
    names = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,DNS:*.example.com,IP:127.0.0.1"
    certificate(folder, "good", "good", names, 100)
    certificate(folder, "short", "short", names, 10)
    certificate(folder, "between", "between", "basicConstraints=critical,CA:TRUE", 20)
    certificate(folder, "leaf", "leaf", names, 100, issuer="between")
    (folder / "chain.pem").write_text((folder / "leaf.pem").read_text() + (folder / "between.pem").read_text())
    openssl("ec", "-in", "good.key", "-aes128", "-passout", "pass:secret of the key", "-out", "locked.key", cwd=folder)
    (folder / "empty.pem").write_text("")
    (folder / "text.pem").write_text("not a certificate\n")
    damaged = (folder / "good.pem").read_text().splitlines()
    damaged[3] = damaged[3][:10] + "!!!!" + damaged[3][14:]
    (folder / "damaged.pem").write_text("\n".join(damaged) + "\n")
    return folder


@pytest.fixture
def check(runbook, playbook, certs):
    def run(options, function="tls.check", needs="", **more):
        return evaluate(runbook, playbook, f"local C = '{certs}/' return {function}{{ {options} }}",
                        needs=f'files = {{ "{certs}/" }}, {needs}', **more)

    return run


def test_what_is_good_passes(check):
    assert check('ca = C .. "ca.pem", cert = C .. "good.pem", key = C .. "good.key", valid_for = "30d", host = "db.example.com"') is True
    assert check('cert = C .. "good.pem", host = "127.0.0.1"') is True
    assert check('ca = C .. "ca.pem", cert = C .. "chain.pem", key = C .. "leaf.key", valid_for = "15d"') is True


def test_every_problem_is_named_at_once(check, certs):
    error = check('ca = C .. "ca.pem", cert = C .. "short.pem", key = C .. "good.key", valid_for = "30d", host = "db.example.org"')
    assert error["kind"] == "tls.invalid"
    first, *rest = error["message"].replace(f"{certs}/", "").split("; ")
    # Made within this second, its ten days are whole.
    assert first.startswith("short.pem expires on ") and first.endswith((" UTC, in 9d (30d wanted)", " UTC, in 10d (30d wanted)"))
    assert rest == ["short.pem is not for db.example.org: it is for localhost, *.example.com, 127.0.0.1",
                    "good.key is not the key of short.pem"]


@pytest.mark.parametrize("options,message", [
    ('ca = C .. "other.pem", cert = C .. "good.pem"', "good.pem does not lead to an authority of other.pem: unable to get local issuer certificate"),
    ('ca = C .. "ca.pem", cert = C .. "leaf.pem"', "leaf.pem does not lead to an authority of ca.pem: unable to get local issuer certificate"),
    ('ca = C .. "good.pem"', "good.pem: CN=good is not the certificate of an authority"),
    ('ca = C .. "absent.pem", cert = C .. "empty.pem", key = C .. "text.pem"',
     "absent.pem: no such file or directory; empty.pem: is empty; text.pem: holds no private key in PEM form"),
    ('cert = C .. "text.pem"', "text.pem: holds no certificate in PEM form"),
    ('cert = C .. "good.key"', "good.key: holds a private key and no certificate"),
    ('key = C .. "locked.key"', "locked.key: the key has a password: give it as key_password"),
    ('key = C .. "locked.key", key_password = "wrong"', "locked.key: the key does not open with this password"),
])
def test_files_that_are_not_good(check, certs, options, message):
    assert check(options)["message"].replace(f"{certs}/", "") == message


def test_a_link_of_the_chain_that_expires_first(check):
    error = check('ca = C .. "ca.pem", cert = C .. "chain.pem", valid_for = "30d"')
    assert "CN=between of " in error["message"] and error["message"].endswith(("in 19d (30d wanted)", "in 20d (30d wanted)"))


def test_damaged(check):
    assert "the certificate is damaged (" in check('cert = C .. "damaged.pem"')["message"]


def test_a_key_with_a_password_that_is_a_secret(check):
    assert check('cert = C .. "good.pem", key = C .. "locked.key", key_password = p.word', env={"KEY_WORD": "secret of the key"},
                 params='word = { "secret", from = "env:KEY_WORD", doc = "x" }') is True


def test_arguments(check, runbook, playbook):
    assert check("")["message"] == "tls.check: argument 1 'options': nothing to look at: give at least one of ca, cert, key, server"
    assert check('certt = "x"')["message"] == "tls.check: argument 1 'options': unknown option 'certt' (did you mean 'cert'?)"
    assert check('server = "localhost:1", starttls = "smtp"')["message"] == "starttls 'smtp' is not known"
    assert check('server = "localhost"')["message"] == "'localhost' is no address: the port is missing"
    outside = evaluate(runbook, playbook, 'return tls.check { cert = "/etc/hosts" }', needs='files = { "certs/" }')
    assert outside["kind"] == "permission" and "may not touch `/etc/hosts`: needs.files allows certs/" in outside["message"]
    unnamed = evaluate(runbook, playbook, 'return tls.check { server = "example.com:443" }', needs='net = { "db.example.com" }')
    assert 'may not reach `example.com:443`: needs.net allows db.example.com' in unnamed["message"]


def test_read(check, certs):
    leaf, between = check('', function=f"tls.read('{certs}/chain.pem'),")
    assert (leaf["subject"], leaf["issuer"], leaf["key"], leaf["authority"]) == ("CN=leaf", "CN=between", "EC 256 bit", False)
    assert leaf["names"] == ["localhost", "*.example.com", "127.0.0.1"] and between["authority"] is True
    assert len(leaf["sha256"]) == 64 and leaf["not_after"] > leaf["not_before"]


# --- live servers ---------------------------------------------------------------------------------------------------


class TlsServer:
    """Shakes hands and closes; `mode` silent accepts and says nothing, plain answers in clear text."""

    def __init__(self, folder, name, mode="tls", ask_client=False):
        self.mode, self.listener = mode, socket.create_server(("127.0.0.1", 0))
        self.address = f"localhost:{self.listener.getsockname()[1]}"
        self.held = []
        if mode == "tls":
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(folder / f"{name}.pem", folder / f"{'leaf' if name == 'chain' else name}.key")
            if ask_client:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.maximum_version = ssl.TLSVersion.TLSv1_2
                self.context.load_verify_locations(folder / "ca.pem")
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.mode == "silent":
                    self.held.append(connection)
                    continue
                if self.mode == "plain":
                    connection.sendall(b"220 hello\r\n")
                else:
                    connection = self.context.wrap_socket(connection, server_side=True)
                connection.close()
            except OSError:
                pass

    def close(self):
        self.listener.close()
        for connection in self.held:
            connection.close()


@pytest.fixture
def serve(certs):
    made = []

    def start(name="good", **more):
        made.append(TlsServer(certs, name, **more))
        return made[-1].address

    yield start
    for server in made:
        server.close()


LOCAL = 'net = { "localhost" }'


def test_a_live_server(check, serve):
    assert check(f'server = "{serve()}", ca = C .. "ca.pem", valid_for = "30d"', needs=LOCAL) is True
    assert check(f'server = "{serve("chain")}", ca = C .. "ca.pem"', needs=LOCAL) is True
    asking = serve(ask_client=True)
    assert check(f'server = "{asking}", ca = C .. "ca.pem", cert = C .. "good.pem", key = C .. "good.key"', needs=LOCAL) is True
    assert "no TLS handshake: " in check(f'server = "{asking}", ca = C .. "ca.pem"', needs=LOCAL)["message"]


def test_a_live_server_that_is_not_good(check, serve):
    short = serve("short")
    error = check(f'server = "{short}", ca = C .. "other.pem", valid_for = "30d", host = "db.example.org"', needs=LOCAL)
    expires, name, chain = error["message"].split("; ")
    assert expires.startswith(f"the certificate of {short} expires on ") and expires.endswith(("in 9d (30d wanted)", "in 10d (30d wanted)"))
    assert name.startswith(f"the certificate of {short} is not for db.example.org")
    assert chain.startswith(f"the certificate of {short} does not lead to an authority of ")
    untrusted = check(f'server = "{short}"', needs=LOCAL)
    assert "does not lead to an authority of this system: unable to get local issuer certificate" in untrusted["message"]


def test_what_a_server_presents(check, serve):
    address = serve("short")
    seen = check("", function=f'tls.server("{address}"),', needs=LOCAL)
    assert seen["trusted"] is False and "does not lead to" in seen["problem"]
    assert seen["version"].startswith("TLSv1.") and seen["cipher"] and seen["chain"][0]["subject"] == "CN=short"


def test_a_server_without_tls_or_without_an_answer(check, serve):
    plain = check(f'server = "{serve(mode="plain")}"', needs=LOCAL)
    assert plain["kind"] == "tls.invalid" and "no TLS handshake: " in plain["message"]
    silent = check(f'server = "{serve(mode="silent")}", timeout = "300ms"', needs=LOCAL)
    assert silent["kind"] == "net.timeout" and silent["message"].endswith("no answer within 300ms")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nobody = check(f'server = "127.0.0.1:{port}"', needs='net = { "127.0.0.1" }')
    assert nobody["kind"] == "net.connection" and nobody["message"] == f"connecting to 127.0.0.1:{port}: 127.0.0.1: connection refused"


def test_a_wait_for_a_silent_server_is_cancelled(runbook, playbook, serve):
    error = evaluate(runbook, playbook, f'return try(deadline, "300ms", function() tls.check {{ server = "{serve(mode="silent")}", timeout = "1h" }} end)',
                     needs=LOCAL)
    assert error["kind"] == "timeout"


@pytest.mark.parametrize("name,starttls", [("PG", "postgres"), ("MYSQL", "mysql"), ("MARIADB", "mysql")])
def test_database_servers(runbook, playbook, name, starttls):
    parts = urlsplit(lab_url(f"{name}_ADMIN"))
    ca = os.environ["RUNBOOK_LAB_CA"]
    code = f"""
      local seen = tls.server("127.0.0.1:{parts.port}", {{ ca = "{ca}", starttls = "{starttls}", host = "127.0.0.1" }})
      return {{ trusted = seen.trusted, problem = seen.problem, subject = seen.chain[1].subject, version = seen.version,
        check = tls.check {{ server = "127.0.0.1:{parts.port}", ca = "{ca}", starttls = "{starttls}", valid_for = "30d" }} }}
    """
    seen = evaluate(runbook, playbook, code, needs=f'net = {{ "127.0.0.1" }}, files = {{ "{ca}" }}')
    assert seen.get("trusted") is True and seen["check"] is True and seen["subject"] == "CN=localhost", seen
    assert seen["version"].startswith("TLSv1.")

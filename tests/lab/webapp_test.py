"""The web application of the demos: what it serves, its maintenance page, and how it is started and stopped."""
import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid

import pytest

import databases
import deploy
import reline


@pytest.fixture(scope="module", params=("PG", "MYSQL"))
def urls(request):
    """(the owner's URL, the application's URL) of a database of our own, with the tables in it."""
    admin = os.environ.get(f"RUNBOOK_LAB_{request.param}_ADMIN")
    if not admin or not os.environ.get("RUNBOOK_LAB_PG_MIGRATE"):
        text = f"the lab does not run: RUNBOOK_LAB_{request.param}_ADMIN is not set"
        assert os.environ.get("RUNBOOK_REQUIRE_LAB") != "1", text
        pytest.skip(text)
    name = f"rb_{uuid.uuid4().hex[:12]}"
    app = databases.with_name(os.environ[f"RUNBOOK_LAB_{request.param}_APP"], name)
    if request.param == "PG":
        migrate = os.environ["RUNBOOK_LAB_PG_MIGRATE"]
        databases.query(migrate, f"create database {name} template template0")
        owner = databases.with_name(migrate, name)
        reline.load(owner, rows=1000)
        yield app
        databases.query(migrate, f"drop database {name} with (force)")
        return
    databases.query(admin, f"create database {name}")
    databases.query(admin, f"grant select, insert, update, delete on {name}.* to reline_app@'%%'", ())
    owner = databases.with_name(admin, name)
    databases.query(owner, "create table operators (id bigint primary key, email varchar(99), name varchar(99))")
    databases.query(owner, "insert into operators values (1, 'operator1@example.com', 'Operator 1')")
    databases.query(owner, "create table feedbacks (id bigint auto_increment primary key, line_group_id bigint, content_id bigint,"
                           " rating int, body text, sent_at datetime, created_at datetime, updated_at datetime)")
    yield app
    databases.query(admin, f"revoke select, insert, update, delete on {name}.* from reline_app@'%%'", ())
    databases.query(admin, f"drop database {name}")


class App:
    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        self.port, self.key = deploy.deploy(folder, url)

    def control(self, verb):
        return subprocess.run([self.folder / "bin/app", verb], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def ask(self, path, method="GET", given=None, key=None):
        """(status, body) of one request."""
        data = json.dumps(given).encode() if given is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"X-Probe-Key": key} if key else {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def app(urls, tmp_path_factory):
    app = App(tmp_path_factory.mktemp("app"), urls)
    started = app.control("start")
    assert started.returncode == 0, started.stderr
    yield app
    assert app.control("stop").returncode == 0


def adapter(app):
    return "PostgreSQL" if app.url.startswith("postgres") else "Mysql2"


def test_it_serves(app):
    status, page = app.ask("/")
    assert (status, "operators" in page) == (200, True)
    status, health = app.ask("/health")
    health = json.loads(health)
    assert (status, health["status"], health["database"]["adapter"]) == (200, "ok", adapter(app))
    assert health["database"]["version"]
    assert app.ask("/health/migration") == (200, json.dumps({"migration_in_progress": False, "database": {"adapter": adapter(app)}}))
    assert json.loads(app.ask("/operators")[1])[0] == {"id": 1, "email": "operator1@example.com", "name": "Operator 1"}
    assert app.ask("/nothing") == (404, '{"error": "no GET /nothing"}')


def test_feedback_goes_in_and_out(app):
    status, made = app.ask("/feedbacks", "POST", {"rating": 5, "body": "better 👍\t\\N"})
    assert status == 201
    path = f"/feedbacks/{json.loads(made)['id']}"
    assert json.loads(app.ask(path)[1])["body"] == "better 👍\t\\N"
    assert app.ask(path, "DELETE")[0] == 200
    assert app.ask(path)[0] == 404
    assert app.ask("/feedbacks", "POST", {"rating": 9, "body": "x"}) == (422, '{"error": "body must be text, rating 1 to 5"}')
    assert app.ask("/feedbacks", "POST", ["x"]) == (400, '{"error": "the body must be a JSON object"}')


def test_metrics_count_what_was_served(app):
    app.ask("/nothing")
    lines = dict(line.rsplit(" ", 1) for line in app.ask("/metrics")[1].splitlines() if not line.startswith("#"))
    assert int(lines['http_requests_total{status="404"}']) >= 1
    assert lines["database_pool_size"] == "5"
    assert 1 <= int(lines["database_pool_available"]) <= 5
    assert lines['http_request_duration_seconds_bucket{le="+Inf"}'] == lines["http_request_duration_seconds_count"]


def test_maintenance_closes_it_for_all_but_the_probe(app):
    page = app.folder / "tmp/maintenance.txt"
    page.touch()
    try:
        status, text = app.ask("/")
        assert (status, "maintenance" in text) == (503, True)
        assert app.ask("/health")[0] == 503
        assert app.ask("/health", key="wrong")[0] == 503
        assert app.ask("/health", key=app.key)[0] == 200
    finally:
        page.unlink()
    assert app.ask("/")[0] == 200


def test_the_control_script_knows_what_runs(app):
    assert app.control("start").returncode == 0
    assert (app.control("status").stdout, app.control("status").returncode) == ("active\n", 0)
    assert app.control("stop").returncode == 0
    assert (app.control("status").stdout, app.control("status").returncode) == ("inactive\n", 3)
    assert app.control("stop").returncode == 0
    assert app.control("start").returncode == 0
    assert app.ask("/health")[0] == 200


def test_settings_are_private_and_read_at_start_only(app):
    file = app.folder / "config/database.env"
    assert file.stat().st_mode & 0o777 == 0o600
    right = file.read_text()
    file.write_text(right.replace("DB_USERNAME=reline_app", "DB_USERNAME=nobody"))
    try:
        assert app.ask("/operators")[0] == 200
        assert app.control("stop").returncode == 0
        refused = app.control("start")
        assert refused.returncode == 1
        assert refused.stderr.startswith("app: did not start; the end of its log:\n")
        assert app.control("status").returncode == 3
    finally:
        file.write_text(right)
    assert app.control("start").returncode == 0

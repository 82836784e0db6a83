"""playbooks/document_migration.lua: Firestore is the stand-in, the application obeys its switch, the cache is a real Redis."""
import json
import os
import socket
import subprocess
import time

import pytest
from firestore_standin import Firestore
from migration_run import confirmed, followed, serve_health

from conftest import ROOT

PLAYBOOK = ROOT / "playbooks/document_migration.lua"


def text(value):
    return {"stringValue": value}


class World:
    """Three collections, an application that says 503 while _config/maintenance is on, and a Redis of its own with a session in it."""

    def __init__(self, runbook, folder):
        self.runbook, self.folder, self.fire = runbook, folder, Firestore()
        for i in range(1100):
            self.fire.put(f"users/u{i:04}", {"name": text(f"user {i}"), "premium": {"booleanValue": i % 3 == 0}})
        for i in range(40):
            self.fire.put(f"lessons/l{i:02}", {"title": text(f"lesson {i}")})
            self.fire.put(f"sessions/s{i:02}", {"of": text(f"u{i:04}")})
        (folder / "firestore.indexes.json").write_text(json.dumps({"indexes": [{"collectionGroup": "users", "queryScope": "COLLECTION",
                                                                                "fields": [{"fieldPath": "plan", "order": "ASCENDING"}, {"fieldPath": "name", "order": "ASCENDING"}]}]}))
        self.seen = set()
        self.server = serve_health(self.health)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.redis = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.cache("ping").startswith("PONG"):
            assert time.monotonic() < deadline
        self.cache("set", "firestore:users", "old")
        self.cache("set", "session:1", "kept")

    def health(self):
        switch = self.fire.documents.get("_config/maintenance", {"fields": {}})["fields"].get("enabled", {}).get("booleanValue")
        self.seen.add(503 if switch else 200)
        return 503 if switch else 200

    def cache(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=False).stdout

    def close(self):
        self.redis.kill()
        self.redis.wait()
        for server in (self.server, self.fire.server):
            server.shutdown()
            server.server_close()

    def data(self):
        return {name: document["fields"] for name, document in self.fire.documents.items() if not name.startswith("_")}

    def env(self, **more):
        return {"FIRESTORE_TOKEN": "the_access_token", **more}

    def run(self, **more):
        run = self.runbook.start("exec", PLAYBOOK, "--run-id", "r", "--approve", "go", "--approve", "go live", "--output", "json", "--project", "shop", "--api", self.fire.url, "--bucket", "gs://bucket",
                                 "--app", f"http://127.0.0.1:{self.server.server_port}/", "--cache", f"redis://127.0.0.1:{self.port}/0", "--quiet", "100ms", "--watched", "1s",
                                 cwd=self.folder, env=self.env(**more))
        done = followed(run, lambda event: confirmed(self.runbook, event))
        return done.exit, done.events(), done.err


@pytest.fixture
def world(runbook, tmp_path):
    if not any(os.access(os.path.join(folder, "redis-server"), os.X_OK) for folder in os.environ["PATH"].split(":")):
        pytest.skip("no redis-server")
    folder = tmp_path / "world"
    folder.mkdir()
    made = World(runbook, folder)
    yield made
    made.close()


def test_every_document_is_migrated(world):
    code, events, err = world.run()
    assert code == 0, (events[-3:], err)
    data = world.data()
    users = [fields for name, fields in data.items() if name.startswith("users/")]
    assert len(users) == 1100 and sum(fields["plan"] == text("gold") for fields in users) == 367
    assert not any("premium" in fields for fields in users)
    assert all("tags" in fields for name, fields in data.items() if name.startswith("lessons/"))
    assert world.seen == {200, 503} and world.fire.documents["_config/maintenance"]["fields"]["enabled"] == {"booleanValue": False}
    assert [one["state"] for one in world.fire.indexes] == ["READY"]  # it was missing, and made
    assert world.cache("get", "firestore:users").strip() == "" and world.cache("get", "session:1").strip() == "kept"
    migrated = next(e["result"] for e in events if e["event"] == "step.finished" and e["step"] == "migrate users")
    assert migrated == {"documents": 1100, "changed": 1100, "batches": 3}


def test_a_document_that_is_not_valid_leads_back(world):
    """Somebody makes a lesson that the rules do not know while users are migrated: everything is as the export has it."""
    before = world.data()

    def meanwhile():
        if "_migrations/lessons" in world.fire.documents:
            world.fire.before_commit = None
            world.fire.put("users/zz", {"name": text("made meanwhile")})

    world.fire.before_commit = meanwhile
    code, events, err = world.run()
    assert code == 1, (events[-3:], err)
    end = events[-1] if events[-1]["event"] == "run.finished" else next(e for e in events if e["event"] == "run.finished")
    assert end["outcome"] == "rolled_back" and "documents are not as they should be" in end["why"], end
    assert world.data() == before
    assert "_migrations/users" not in world.fire.documents and world.seen == {200, 503}
    assert [kind for kind, _, _ in world.fire.started] == ["exportDocuments"] + ["importDocuments"] * 3


def test_killed_in_a_collection_and_resumed(world):
    def count():
        if len([n for n in world.fire.documents if n == "_migrations/users"]) and world.fire.commits >= 3:
            world.fire.before_commit = None
            run.process.kill()

    started = world.runbook.start

    def start(*args, **more):
        nonlocal run
        made = started(*args, **more)
        run = made if args[0] == "exec" else run
        return made

    run, world.runbook.start = None, start
    world.fire.before_commit = count
    code, events, _ = world.run()
    assert code == -9, events[-1]
    world.runbook.start = started
    resumed = world.runbook("resume", "r", "--approve", "go live", "--output", "json", cwd=world.folder, env=world.env(), timeout=100)
    assert resumed.exit == 0, resumed.out + resumed.err
    users = [fields for name, fields in world.data().items() if name.startswith("users/")]
    assert sum(fields["plan"] == text("gold") for fields in users) == 367 and len(users) == 1100
    assert [kind for kind, _, _ in world.fire.started] == ["exportDocuments"]

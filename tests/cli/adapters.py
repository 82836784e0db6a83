"""The stand-in programs on the PATH of a run, and their state: see standins/bin/standin.py."""
import json
import os
from pathlib import Path

import pytest

BIN = Path(__file__).with_name("standins") / "bin"


class Standins:
    def __init__(self, folder):
        self.folder = folder
        self.env = {"PATH": f"{BIN}:{os.environ['PATH']}", "STANDIN_STATE": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def set(self, name, value):
        (self.folder / f"{name}.json").write_text(json.dumps(value))

    def get(self, name):
        return json.loads((self.folder / f"{name}.json").read_text())

    def calls(self):
        """What was called, one line each, without those that only look."""
        path = self.folder / "calls"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [" ".join(words) for words in lines if words[1] not in ("show", "get") and words[1:3] != ["rollout", "status"]]


@pytest.fixture
def standins(tmp_path):
    folder = tmp_path / "standins"
    folder.mkdir()
    return Standins(folder)

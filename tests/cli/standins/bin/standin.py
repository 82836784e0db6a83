"""What the stand-in programs share: their state, kept in $STANDIN_STATE, and the log of their calls.

They stand for programs that cannot run here (systemd, Kubernetes, Rails, Prisma). Each knows the calls that the library makes and refuses
every other one with status 64, so that a wrong argument fails a test instead of passing unseen.
"""
import fcntl
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(os.environ["STANDIN_STATE"])


@contextmanager
def state(name):
    """The state of one program as a dict; saved at the end."""
    path = FOLDER / f"{name}.json"
    with open(FOLDER / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        value = json.loads(path.read_text()) if path.exists() else {}
        yield value
        path.write_text(json.dumps(value))


def log():
    with open(FOLDER / "calls", "a") as calls:
        calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\n")


def refuse():
    print(f"stand-in {os.path.basename(sys.argv[0])}: does not know: {sys.argv[1:]}", file=sys.stderr)
    sys.exit(64)

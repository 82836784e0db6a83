#!/usr/bin/python3
"""Cancelled runs whose children do not want to die: nothing of the tree survives the grace and a second.

usage: cancels.py [--short|--long]
Each run starts a command whose members ignore TERM, INT and HUP, leave the session, fork twice, close their descriptors or
hide their parent. It is cancelled from another terminal or by Ctrl-C, or its process is killed by SIGKILL, in turn. Then no
process may be alive that carries the run's mark in its environment. --short: 25, --long: 500. Prints figures; exit 1 when
one survives.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kill import BINARY, place

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import MARK, marked  # noqa: E402

GRACE = 0.3
BOOK = """
playbook "stubborn" { summary = "children that stay", needs = { shell = { "/bin/sh *" } } }
step "work" { undo = keep "it only waits", run = function() sh.run { "/bin/sh", "tree.sh", grace = "300ms" } end }
"""
# Each member leaves its pid; the last line waits so that the step is at work until somebody ends it.
MEMBER = "trap '' TERM INT HUP; echo $$ >> pids; while :; do sleep 0.2; done"
TREES = {
    "ignores signals": f"({MEMBER}) & ({MEMBER}) & {MEMBER}\n",
    "leaves the session": f"setsid sh -c \"{MEMBER.replace('$', chr(92) + '$')}\" & setsid sh -c \"{MEMBER.replace('$', chr(92) + '$')}\" & {MEMBER}\n",
    "forks twice": f"(setsid sh -c \"({MEMBER.replace('$', chr(92) + '$')}) & exit\" &) ; {MEMBER}\n",
    "closes its descriptors": f"(exec <&- >&- 2>&-; {MEMBER}) & setsid -f sh -c \"exec >/dev/null 2>&1; {MEMBER.replace('$', chr(92) + '$')}\"; {MEMBER}\n",
}
MEMBERS = {"ignores signals": 3, "leaves the session": 3, "forks twice": 2, "closes its descriptors": 3}
WAYS = ("cancel", "Ctrl-C", "kill -9")


def one(entry):
    tree, way, delay = entry
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(dir=place(), prefix="rb-cancel-") as name:
        folder = Path(name)
        (folder / "stubborn.lua").write_text(BOOK)
        (folder / "tree.sh").write_text(TREES[tree])
        environment = {key: value for key, value in os.environ.items() if key in ("PATH", "RUNBOOK_LUA_ROOT", "TMPDIR")}
        environment.update(HOME=name, XDG_STATE_HOME=name, LC_ALL="C.UTF-8")
        run = subprocess.Popen([BINARY, "exec", "stubborn.lua", "--run-id", "r1", "--output", "plain"], cwd=folder, env={**environment, MARK: mark},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            deadline = time.monotonic() + 30
            pids = folder / "pids"
            while not (pids.exists() and len(pids.read_text().split()) >= MEMBERS[tree]):
                if run.poll() is not None or time.monotonic() > deadline:
                    return tree, way, 0, f"the tree did not start: {run.communicate()[0][-300:]}"
                time.sleep(0.01)
            time.sleep(delay)
            started = time.monotonic()
            if way == "cancel":
                told = subprocess.run([BINARY, "cancel", "r1"], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
                if told.returncode != 0:
                    return tree, way, 0, f"cancel ended with {told.returncode}: {told.stderr.strip()[-200:]}"
            else:
                run.send_signal(signal.SIGINT if way == "Ctrl-C" else signal.SIGKILL)
            said = run.communicate(timeout=60)[0]
            wanted = -signal.SIGKILL if way == "kill -9" else 3
            if run.returncode != wanted:
                return tree, way, 0, f"the run ended with {run.returncode}: {said[-300:]}"
            # The run waits for its tree; after a kill -9 the tree has the grace and a second.
            limit = started + (GRACE + 1) * (4 if os.getloadavg()[0] > os.cpu_count() else 1)
            while way == "kill -9" and marked(mark) and time.monotonic() < limit:
                time.sleep(0.02)
            left = marked(mark)
            return tree, way, time.monotonic() - started, f"{len(left)} survive: {left[0]}" if left else None
        finally:
            run.kill()
            run.wait()
            for pid, _ in marked(mark):
                os.kill(pid, signal.SIGKILL)


def main():
    if not shutil.which("setsid"):
        sys.exit("cancels: setsid is not installed")
    wanted = 500 if "--long" in sys.argv else 25
    chance, trees = random.Random(1), list(TREES)
    cases = [(trees[i % len(trees)], WAYS[i % len(WAYS)], chance.random() * 0.1) for i in range(wanted)]
    start = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, cases))
    problems = [f"{tree}, {way}: {problem}" for tree, way, _, problem in results if problem]
    for problem in problems[:10]:
        print(f"  {problem}")
    times = sorted(seconds for _, _, seconds, problem in results if not problem)
    print(f"cancels: {len(results)} ({', '.join(f'{n} by {way}' for way, n in Counter(way for _, way, _, _ in results).items())}), "
          f"gone after {times[len(times) // 2]:.2f} s (median) and {times[-1]:.2f} s (longest) with {GRACE} s grace, "
          f"{time.monotonic() - start:.1f} s, survivors {len(problems)}" if times else f"cancels: all of {len(results)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

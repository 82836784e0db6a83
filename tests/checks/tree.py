#!/usr/bin/python3
"""Looks through the files that git knows for what does not belong into a public tree.

No path of somebody's machine, no conflict marker, no file of ours over 600 lines, no executable without a first line that
says what runs it, no link to a file that is not there, and every C++ file of the program (or the header beside it) opens
with a comment that says what it owns. Exit 1 with the lines found.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600
GENERATED = ("docs/api/", "docs/types/", "docs/runbook.1", "LICENSE")
# A home folder, or the folder that this very clone lies in, written down. Anna is nobody: examples are hers.
MACHINE = re.compile(r"(?<![\w.$}])(/home/(?!anna/)[a-z][\w-]*/|/Users/\w+/|/root/|/work/)" + "|" + re.escape(f"{ROOT}/"))
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")
MARKER = re.compile(r"^(<<<<<<< |>>>>>>> |=======$)")


def paired(path):
    return (ROOT / path).with_suffix(".h").exists()


def problems(path):
    data = (ROOT / path).read_bytes()
    if b"\0" in data[:8000]:
        return
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        yield f"{path}:1: not UTF-8: {error}"
        return
    if len(lines) > LIMIT and not path.startswith(GENERATED):
        yield f"{path}:{LIMIT + 1}: {len(lines)} lines; the limit is {LIMIT}"
    if os.access(ROOT / path, os.X_OK) and not (lines and lines[0].startswith("#!")):
        yield f"{path}:1: executable, but its first line names no interpreter"
    commented = bool(lines) and lines[0].startswith(("//", "/*"))
    if path.endswith(".h") and not commented or path.endswith(".cpp") and not (commented or paired(path) or path.startswith("tests/unit/")):
        yield f"{path}:1: a file opens with a comment that says what it owns"
    for number, line in enumerate(lines, 1):
        if path != "tests/checks/tree.py" and MACHINE.search(line):
            yield f"{path}:{number}: names a path of one machine: {line.strip()}"
        for target, _ in LINK.findall(line) if path.endswith(".md") else ():
            if not ((ROOT / path).parent / target).exists():
                yield f"{path}:{number}: links to {target}, which is not there"
        if MARKER.match(line) and not path.endswith(".md"):
            yield f"{path}:{number}: conflict marker"


tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True,
                         text=True).stdout.split("\0")
found = [problem for path in tracked if path and (ROOT / path).is_file() for problem in problems(path)]
print("\n".join(found), end="\n" if found else "")
sys.exit(1 if found else 0)

#!/usr/bin/python3
"""Runs clang-tidy over runtime/ and bindings/, in parallel, and only where something changed.

usage: tidy.py [--all] [FILE...]
A file that passed leaves a stamp in build/tidy, named after the contents of the file, of every header of the tree that it
includes, and of .clang-tidy. Needs build/release/compile_commands.json. Exit 1 when something is found.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"
STAMPS = ROOT / "build" / "tidy"
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)


def contents(path, seen):
    """The file and the headers of the tree below it, each once."""
    if path in seen or not path.is_file():
        return
    seen[path] = path.read_bytes()
    for header in INCLUDE.findall(seen[path]):
        contents(ROOT / header.decode(), seen)


def stamp(path, settings):
    seen = {}
    contents(path, seen)
    digest = hashlib.sha256(settings)
    for name in sorted(seen):
        digest.update(str(name.relative_to(ROOT)).encode() + b"\0" + seen[name])
    return STAMPS / f"{path.relative_to(ROOT).as_posix().replace('/', '.')}.{digest.hexdigest()[:20]}"


def main(arguments):
    tool = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    if not tool:
        sys.exit("tidy: clang-tidy is not installed (./dev deps check)")
    every = "--all" in arguments
    named = {str((ROOT / a).resolve()) for a in arguments if not a.startswith("-")}
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    sources = sorted({Path(c["file"]) for c in commands
                      if c["file"].startswith((f"{ROOT}/runtime/", f"{ROOT}/bindings/")) and (not named or c["file"] in named)})
    # CLI11 alone costs half a minute, and its one file holds little else.
    sources = [s for s in sources if s.name != "arguments.cpp" and s.is_file()]
    settings = (ROOT / ".clang-tidy").read_bytes() + tool.encode()
    STAMPS.mkdir(parents=True, exist_ok=True)
    work = [(s, stamp(s, settings)) for s in sources]
    work = [(s, mark) for s, mark in work if every or named or not mark.exists()]

    def check(item):
        source, mark = item
        command = [tool, "--quiet", "-p", str(BUILD), "--extra-arg=-Wno-unknown-warning-option", str(source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False,
                             stdin=subprocess.DEVNULL)
        if run.returncode == 0:
            mark.touch()
        return source, run

    failed = 0
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for source, run in pool.map(check, work):
            if run.returncode != 0:
                failed += 1
                print(run.stdout.strip() or run.stderr.strip(), flush=True)
    print(f"clang-tidy: {len(work)} of {len(sources)} files looked at, {failed} with findings")
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))

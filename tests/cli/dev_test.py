"""./dev itself: what it says, and that it refuses what it does not know."""
import re
import subprocess

from conftest import ROOT


def dev(*args):
    return subprocess.run([ROOT / "dev", *args], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_alone_it_lists_the_verbs():
    shown = dev()
    assert shown.returncode == 0
    assert re.findall(r"^  (\w+) ", shown.stdout, re.M) == [
        "deps", "build", "test", "check", "demo", "lab", "crash", "bench", "format", "lint", "docs", "tsan", "unstable", "fresh"]


def test_unknown_verb():
    shown = dev("biuld")
    assert shown.returncode == 2
    assert shown.stderr.endswith("dev: error: unknown verb 'biuld'\n")


def test_unknown_options():
    assert dev("build", "--fast").stderr == "dev: error: build: unknown option '--fast'\n"
    assert dev("lab", "sideways").stderr == "dev: error: lab: up, down, status or env\n"
    assert dev("check", "taste").stderr == (
        "dev: error: check: unknown name 'taste' (format layers tree lua shell docs lint)\n")


def test_layer_violation_is_found_with_its_line(tmp_path):
    """A native engine that includes Lua, and one that looks upwards, in a tree of their own."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name in ("tests/checks/layers.py", "CMakeLists.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    bad = tmp_path / "runtime" / "db" / "bad.cpp"
    bad.parent.mkdir(parents=True)
    bad.write_text('// bad\n#include "runtime/engine/run.h"\n#include <lua.h>\n')
    shown = subprocess.run(["/usr/bin/python3", tmp_path / "tests/checks/layers.py"], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stdout == (
        'runtime/db/bad.cpp:2: #include "runtime/engine/run.h": layer db may not use layer engine\n'
        "runtime/db/bad.cpp:3: #include <lua.h>: native engines never include a Lua header\n")

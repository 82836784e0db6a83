#!/usr/bin/python3
"""Holds every #include line against the layers.

What may include what is read from the runbook_layer() lines of CMakeLists.txt (what a layer links, it may include);
which library's headers belong to which folders stands below. A header in a folder of its own below a layer (runtime/db/
postgres/) is that layer's private affair: it may include a library's header, and then no other layer may include it.
A violation is printed with its line; exit 1.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# header pattern -> (allowed layers, only in .cpp files, what the rule is called)
LIBRARIES = [
    (r"(lua|lauxlib|lualib|luajit)\.(h|hpp)$", {"vm", "bindings", "engine", "repl", "cli"}, False,
     "native engines never include a Lua header"),
    (r"(libpq-fe|libpq/.*|mysql|mysql/.*|mariadb/.*|errmsg|mysqld_error)\.h$", {"db", "transfer", "backup"}, True,
     "database headers stay in the .cpp files of the native engines"),
    (r"sqlite3\.h$", {"db", "journal", "transfer", "backup"}, True, "SQLite stays in the .cpp files of the native engines"),
    (r"curl/.*\.h$", {"http", "notify"}, True, "libcurl stays in the .cpp files of runtime/http"),
    (r"nlohmann/.*", {"base"}, True, "nlohmann/json is included by runtime/base/json.cpp alone"),
    (r"CLI/.*", {"cli"}, True, "CLI11 is included by runtime/cli/arguments.cpp alone"),
    (r"hiredis/.*", {"redis"}, True, "hiredis stays in the .cpp files of runtime/redis"),
    (r"microhttpd\.h$", {"serve"}, True, "libmicrohttpd stays in runtime/serve/server.cpp"),
    (r"yaml\.h$", {"formats"}, True, "libyaml stays in runtime/formats/yaml.cpp"),
    (r"openssl/.*\.h$", {"base", "net"}, False, "OpenSSL belongs to runtime/base and runtime/net"),
    (r"uv\.h$", {"vm", "engine"}, False, "libuv belongs to the scheduler"),
]


def layers():
    """Folder of each layer and the set of layers it may include, transitively."""
    folders, links = {}, {}
    for match in re.finditer(r"^runbook_layer\((\w+)\s+([\w/]+)\s+LINK ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text(), re.M):
        name, folder, linked = match.groups()
        folders[folder] = name
        links[name] = {word[3:] for word in linked.split() if word.startswith("rb_")}
    if not folders:
        sys.exit("layers: found no runbook_layer() line in CMakeLists.txt")

    def closure(name, seen):
        for below in links.get(name, ()):
            if below not in seen:
                seen.add(below)
                closure(below, seen)
        return seen

    return folders, {name: closure(name, {name}) for name in links}


def layer_of(path, folders):
    for folder, name in folders.items():
        if path.startswith(folder + "/"):
            return name
    return None


INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')


def includes(path):
    """(line number, line, header) of each include line."""
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, line.strip(), match.group(1)


def private(path, folders):
    """Whether a header lies deeper than its layer's folder and includes a library that headers of the layer may not."""
    folder = next((f for f in folders if path.startswith(f + "/")), None)
    if folder is None or not path.endswith(".h") or "/" not in path[len(folder) + 1:] or not (ROOT / path).is_file():
        return False
    return any(re.match(pattern, header) for _, _, header in includes(path)
               for pattern, _, source_only, _ in LIBRARIES if source_only)


def violations():
    folders, allowed = layers()
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "runtime", "bindings"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout.split()
    for path in tracked:
        if not path.endswith((".cpp", ".h")) or not (ROOT / path).exists():
            continue
        if path == "runtime/main.cpp":  # the program's entry ties all layers together
            continue
        # The program's entry ties engine and bindings together; nothing else may.
        if path == "runtime/main.cpp":
            continue
        own = layer_of(path, folders)
        if own is None:
            yield f"{path}:1: lies in no layer; name its folder in CMakeLists.txt with runbook_layer()"
            continue
        open_header = path.endswith(".h") and not private(path, folders)
        for number, line, header in includes(path):
            where = f"{path}:{number}: {line}"
            other = layer_of(header, folders)
            if other and other not in allowed[own]:
                yield f"{where}: layer {own} may not use layer {other}"
            elif other and other != own and private(header, folders):
                yield f"{where}: that header is private to layer {other}, because it includes a library's header"
            for pattern, homes, source_only, rule in LIBRARIES:
                if re.match(pattern, header) and (own not in homes or (source_only and open_header)):
                    yield f"{where}: {rule}"


found = sorted(violations())
print("\n".join(found), end="\n" if found else "")
sys.exit(1 if found else 0)

#!/usr/bin/python3
"""Makes a folder with the web application of tests/lab/webapp in it, configured for one database and ready for another.

  deploy.py FOLDER [--from VARIABLE] [--to VARIABLE]

--from (RUNBOOK_LAB_PG_APP) and --to name variables with the URLs. The settings of both lie in deploy/postgresql and
deploy/mysql8, as people put them there before the day; config/database.env holds those of --from.
"""
import argparse
import os
import secrets
import shutil
import socket
import sys
from pathlib import Path

import databases

SOURCE = Path(__file__).resolve().parent / "webapp"


def write_private(file, lines):
    """Replaces a file with KEY=value lines that only its owner may read; nobody sees half of it."""
    new = file.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.writelines(f"{key}={value}\n" for key, value in lines.items())
    new.replace(file)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configure(file, url):
    """The settings for a URL; the application reads config/database.env at its next start."""
    u = databases.parse(url)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, {
        "DB_ADAPTER": "postgresql" if u["engine"] == "postgresql" else "mysql2", "DB_HOST": u["host"], "DB_PORT": u["port"],
        "DB_NAME": u["name"], "DB_USERNAME": u["user"], "DB_PASSWORD": u["password"], "DB_SSL_CA": u["ca"]})


def deploy(folder, url, to=None):
    """Returns (port, probe key)."""
    for name in ("bin", "config", "log", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("app.py", "bin/app"):
        shutil.copy(SOURCE / name, folder / name)
    port, key = free_port(), secrets.token_hex(16)
    write_private(folder / "config/app.env", {"PORT": port, "PROBE_KEY": key})
    configure(folder / "config/database.env", url)
    for settings in filter(None, (url, to)):
        configure(folder / "deploy" / ("postgresql" if settings.startswith("postgres") else "mysql8") / "database.env", settings)
    return port, key


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--from", dest="source", default="RUNBOOK_LAB_PG_APP", metavar="VARIABLE")
    parser.add_argument("--to", dest="target", metavar="VARIABLE")
    options = parser.parse_args()
    deploy(options.folder.resolve(), databases.from_environment(options.source),
           options.target and databases.from_environment(options.target))
    sys.exit(0)

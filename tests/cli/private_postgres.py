"""A PostgreSQL server of a test's own, to change its settings and to kill it."""
import os
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """Started when made. `hba`: lines of pg_hba.conf; `settings`: lines of postgresql.conf, {folder} is the server's; `files` are copied there.
    `sql` runs as its administrator, over its socket."""

    def __init__(self, hba, settings=(), files=()):
        # not below pytest's own folder, into which no other user may look
        self.folder, self.port = Path(f"/tmp/rb-pg-{uuid.uuid4().hex[:8]}"), free_port()
        folder, self.bin = self.folder, sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
        folder.mkdir()
        if owner:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        subprocess.run([*owner, self.bin / "initdb", "-D", data, "-U", "admin", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
                       check=True, capture_output=True, cwd="/")
        for file in files:
            copy = shutil.copy(file, folder)
            os.chmod(copy, 0o600)
            if owner:
                shutil.chown(copy, "postgres", "postgres")
        (data / "pg_hba.conf").write_text("local all admin trust\n" + hba)
        with (data / "postgresql.conf").open("a") as conf:
            conf.write("\n".join(line.format(folder=folder) for line in settings) + "\n")
        self.process = subprocess.Popen([*owner, self.bin / "postgres", "-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                                         "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"],
                                        cwd="/", stdout=subprocess.DEVNULL, stderr=open(folder / "log", "wb"))
        until = time.monotonic() + 60
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", folder, "-p", str(self.port)], check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.05)

    def sql(self, *statements):
        """The last statement's output."""
        for statement in statements:
            done = subprocess.run(["psql", "-XAtqc", statement, f"host={self.folder} port={self.port} user=admin dbname=postgres"], check=True,
                                  capture_output=True, text=True)
        return done.stdout.strip()

    def kill(self):
        """SIGKILL to the server; what it serves ends by itself."""
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder)

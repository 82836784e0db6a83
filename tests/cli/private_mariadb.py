"""A MariaDB server of a test's own, without TLS on the loopback: to change its settings, to fill its disk, to kill it."""
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from private_postgres import free_port

PASSWORD = "open-sesame-4711"
SERVER = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin")


class MariaDB:
    """Started when made, with `options` of the server. `sql` runs as its administrator, over its socket; `url` is the tester's, who may do anything."""

    def __init__(self, *options):
        # not below pytest's own folder, into which no other user may look
        self.folder, self.port = Path(f"/tmp/rb-my-{uuid.uuid4().hex[:8]}"), free_port()
        self.folder.mkdir()
        user = ["--user=root"] if os.getuid() == 0 else []
        self.command = [SERVER, "--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/s", f"--port={self.port}", "--bind-address=127.0.0.1",
                        "--skip-ssl", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", *user]
        subprocess.run(["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", f"--datadir={self.folder}/data", *user],
                       check=True, capture_output=True)
        self.start(*options)
        self.sql(f"create user tester@'%' identified by '{PASSWORD}'", "grant all on *.* to tester@'%' with grant option", "create database shop")
        self.url = f"mysql://tester@127.0.0.1:{self.port}/shop?sslmode=disable"

    def start(self, *options):
        self.process = subprocess.Popen([*self.command, *options], stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "ab"))
        until = time.monotonic() + 60
        while subprocess.run(["mariadb-admin", "--no-defaults", f"--socket={self.folder}/s", "-uroot", "ping"], capture_output=True, check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.1)

    def sql(self, *statements, database=None):
        """The last statement's output."""
        for statement in statements:
            done = subprocess.run(["mariadb", "--no-defaults", f"--socket={self.folder}/s", "-uroot", "-N", "-B", *([database] if database else []), "-e", statement],
                                  check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def stop(self):
        """In good order: what was written is there at the next start."""
        self.process.terminate()
        self.process.wait(60)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)

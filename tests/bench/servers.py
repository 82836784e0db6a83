"""The lab's servers for the benchmarks: one database a name on each, and the engines' own clients."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import databases  # noqa: E402


class Server:
    """One server of the lab. `kind` is postgres, mysql or mariadb."""

    def __init__(self, kind, name):
        self.kind = kind
        variable = {"postgres": "RUNBOOK_LAB_PG_ADMIN", "mysql": "RUNBOOK_LAB_MYSQL_ADMIN", "mariadb": "RUNBOOK_LAB_MARIADB_ADMIN"}[kind]
        if variable not in os.environ:
            sys.exit(f"bench: {variable} is not set; run ./dev bench, or eval \"$(tests/lab/lab env)\"")
        self.admin = os.environ[variable]
        self.name = name
        self.url = databases.with_name(self.admin, name)
        self.parts = databases.parse(self.url)

    def sql(self, statement, admin=False):
        connection = databases.connect(self.admin if admin else self.url)
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def fresh(self):
        """An empty database of our name."""
        self.drop()
        self.sql(f"CREATE DATABASE {self.name}" + ("" if self.kind == "postgres" else " CHARACTER SET utf8mb4"), admin=True)

    def drop(self):
        force = " WITH (FORCE)" if self.kind == "postgres" else ""
        self.sql(f"DROP DATABASE IF EXISTS {self.name}{force}", admin=True)

    def client(self, *words):
        """argv and environment of the engine's own client; the password is not in argv."""
        p = self.parts
        env = dict(os.environ)
        if self.kind == "postgres":
            return ["psql", "-q", "-X", *words, databases.without_password(self.url)], dict(env, PGPASSWORD=p["password"])
        program = os.environ["RUNBOOK_LAB_MYSQL_CLIENT"] if self.kind == "mysql" else "mariadb"
        env["MYSQL_PWD"] = p["password"]
        return [program, "--no-defaults", f"--host={p['host']}", f"--port={p['port']}", f"--user={p['user']}", f"--ssl-ca={p['ca']}",
                "--local-infile=1", *words, self.name], env

    def run(self, *words, **options):
        argv, env = self.client(*words)
        subprocess.run(argv, env=env, check=True, stderr=subprocess.DEVNULL, **options)

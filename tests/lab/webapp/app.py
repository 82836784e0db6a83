#!/usr/bin/python3
"""A small web application on the five tables, for demos and tests: what a migration has to keep alive.

Runs in the folder that it lies in. Reads config/database.env and config/app.env when it starts and never again, like any
application server: new settings need a restart. While tmp/maintenance.txt exists every request gets 503 and the maintenance
page, unless it carries the header X-Probe-Key with the key of config/app.env.
  GET /  /health  /health/migration  /metrics  /operators  /line_groups  /contents/ID  /feedbacks/ID
  POST /feedbacks   {"line_group_id", "content_id", "rating", "body"}        DELETE /feedbacks/ID
"""
import contextlib
import hmac
import json
import queue
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent
POOL_SIZE = 5
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)
MAINTENANCE_PAGE = "<!doctype html><title>Maintenance</title><h1>Down for maintenance</h1><p>We will be back shortly.</p>\n"


def settings(name):
    """KEY=value lines of config/NAME.env."""
    lines = (ROOT / "config" / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


class Database:
    """A pool of connections; a connection on which a statement failed is thrown away."""

    def __init__(self, env):
        self.env = env
        self.adapter = {"postgresql": "PostgreSQL", "mysql2": "Mysql2"}[env["DB_ADAPTER"]]
        self.idle = queue.LifoQueue()
        for _ in range(POOL_SIZE):
            self.idle.put(None)
        self.version = self.query("select version()")[0][0]

    def connect(self):
        env = self.env
        common = {"host": env["DB_HOST"], "port": int(env["DB_PORT"]), "user": env["DB_USERNAME"], "password": env["DB_PASSWORD"]}
        if self.adapter == "PostgreSQL":
            import psycopg2
            connection = psycopg2.connect(**common, dbname=env["DB_NAME"], sslmode="verify-full", sslrootcert=env["DB_SSL_CA"],
                                          connect_timeout=5, application_name="reline")
            connection.autocommit = True
            return connection
        import pymysql
        ssl = {"ca": env["DB_SSL_CA"], "check_hostname": True}
        if env.get("DB_SSL_CERT"):
            ssl.update(cert=env["DB_SSL_CERT"], key=env["DB_SSL_KEY"])
        return pymysql.connect(**common, database=env["DB_NAME"], charset="utf8mb4", autocommit=True, ssl=ssl, connect_timeout=5)

    @contextlib.contextmanager
    def cursor(self):
        connection = self.idle.get(timeout=5)
        try:
            connection = connection or self.connect()
            with connection.cursor() as cursor:
                yield cursor
        except Exception:
            if connection is not None:
                with contextlib.suppress(Exception):
                    connection.close()
            connection = None
            raise
        finally:
            self.idle.put(connection)

    def query(self, statement, *parameters):
        with self.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def insert(self, table, values):
        """Inserts one row and returns its id."""
        statement = f"insert into {table} ({', '.join(values)}) values ({', '.join(['%s'] * len(values))})"
        with self.cursor() as cursor:
            if self.adapter == "PostgreSQL":
                cursor.execute(statement + " returning id", tuple(values.values()))
                return cursor.fetchone()[0]
            cursor.execute(statement, tuple(values.values()))
            return cursor.lastrowid


class Metrics:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = {}
        self.durations = [0] * len(BUCKETS)
        self.count, self.total = 0, 0.0

    def observe(self, status, seconds):
        with self.lock:
            self.requests[status] = self.requests.get(status, 0) + 1
            self.count += 1
            self.total += seconds
            for place, limit in enumerate(BUCKETS):
                self.durations[place] += seconds <= limit

    def text(self, database):
        with self.lock:
            lines = ["# TYPE http_requests_total counter"]
            lines += [f'http_requests_total{{status="{status}"}} {count}' for status, count in sorted(self.requests.items())]
            lines += ["# TYPE http_request_duration_seconds histogram"]
            lines += [f'http_request_duration_seconds_bucket{{le="{limit}"}} {n}' for limit, n in zip(BUCKETS, self.durations)]
            lines += [f'http_request_duration_seconds_bucket{{le="+Inf"}} {self.count}',
                      f"http_request_duration_seconds_sum {self.total:.6f}", f"http_request_duration_seconds_count {self.count}"]
        lines += ["# TYPE database_pool_size gauge", f"database_pool_size {POOL_SIZE}",
                  "# TYPE database_pool_available gauge", f"database_pool_available {database.idle.qsize()}"]
        return "\n".join(lines) + "\n"


class Refusal(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    database = metrics = probe_key = None

    # --- what it serves -------------------------------------------------------------------------------------------

    def get_root(self):
        (operators,), = self.database.query("select count(*) from operators")
        return 200, f"<!doctype html><title>Reline</title><h1>Reline</h1><p>{operators} operators</p>\n"

    def get_health(self):
        self.database.query("select 1")
        return 200, {"status": "ok", "database": {"adapter": self.database.adapter, "version": self.database.version}}

    def get_health_migration(self):
        return 200, {"migration_in_progress": (ROOT / "tmp/migration.txt").exists(), "database": {"adapter": self.database.adapter}}

    def get_metrics(self):
        return 200, self.metrics.text(self.database)

    def get_operators(self):
        rows = self.database.query("select id, email, name from operators order by id limit 50")
        return 200, [{"id": row[0], "email": row[1], "name": row[2]} for row in rows]

    def get_line_groups(self):
        rows = self.database.query("select id, line_group_id, status from line_groups order by id limit 50")
        return 200, [{"id": row[0], "line_group_id": row[1], "status": row[2]} for row in rows]

    def get_contents(self, number):
        return 200, self.one("select id, category, body from contents where id = %s", number, ("id", "category", "body"))

    def get_feedbacks(self, number):
        return 200, self.one("select id, line_group_id, content_id, rating, body from feedbacks where id = %s", number,
                             ("id", "line_group_id", "content_id", "rating", "body"))

    def one(self, statement, number, names):
        rows = self.database.query(statement, int(number))
        if not rows:
            raise Refusal(404, f"there is no {number}")
        return dict(zip(names, rows[0]))

    def post_feedbacks(self):
        given = self.body()
        if not isinstance(given.get("body"), str) or given.get("rating") not in (None, 1, 2, 3, 4, 5):
            raise Refusal(422, "body must be text, rating 1 to 5")
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        number = self.database.insert("feedbacks", {
            "line_group_id": given.get("line_group_id"), "content_id": given.get("content_id"), "rating": given.get("rating"),
            "body": given["body"], "sent_at": now, "created_at": now, "updated_at": now})
        return 201, {"id": number}

    def delete_feedbacks(self, number):
        self.database.query("delete from feedbacks where id = %s", int(number))
        return 200, {"deleted": int(number)}

    ROUTES = (("GET", r"/", get_root), ("GET", r"/health", get_health), ("GET", r"/health/migration", get_health_migration),
              ("GET", r"/metrics", get_metrics), ("GET", r"/operators", get_operators), ("GET", r"/line_groups", get_line_groups),
              ("GET", r"/contents/(\d+)", get_contents), ("GET", r"/feedbacks/(\d+)", get_feedbacks),
              ("POST", r"/feedbacks", post_feedbacks), ("DELETE", r"/feedbacks/(\d+)", delete_feedbacks))

    # --- how it serves --------------------------------------------------------------------------------------------

    def body(self):
        try:
            given = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise Refusal(400, "the body must be a JSON object")
        return given

    def route(self):
        path = self.path.split("?")[0]
        if (ROOT / "tmp/maintenance.txt").exists():
            if not hmac.compare_digest(self.headers.get("X-Probe-Key", "").encode(), self.probe_key.encode()):
                return 503, MAINTENANCE_PAGE
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, function in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                return function(self, *match.groups())
        raise Refusal(404, f"no {method} {path}")

    def handle_any(self):
        started = time.monotonic()
        try:
            status, answer = self.route()
        except Refusal as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
        except Exception as error:                     # whatever the database says, a visitor sees 500 and the log has it
            self.log_message("%s: %s", type(error).__name__, " ".join(str(error).split()))
            status, answer = 500, {"status": "error", "error": type(error).__name__}
        kind = "text/html" if isinstance(answer, str) else "application/json"
        if self.path.startswith("/metrics") and status == 200:
            kind = "text/plain; version=0.0.4"
        data = (answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)).encode()
        self.metrics.observe(status, time.monotonic() - started)
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if status == 503:
            self.send_header("Retry-After", "60")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_DELETE = handle_any

    def log_message(self, text, *arguments):
        print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text % arguments, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def main():
    app = settings("app")
    Handler.database = Database(settings("database"))
    Handler.metrics, Handler.probe_key = Metrics(), app["PROBE_KEY"]
    server = Server(("127.0.0.1", int(app["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"serving on 127.0.0.1:{app['PORT']} with {Handler.database.adapter} {Handler.database.version}", flush=True)
    server.serve_forever()
    print("stopped", flush=True)


if __name__ == "__main__":
    sys.exit(main())

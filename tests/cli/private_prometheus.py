"""A Prometheus of a test's own, and the exporter that it scrapes every half second: metrics that the test sets."""
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
from private_postgres import free_port


class Exporter:
    """Serves what `metrics` holds, in Prometheus' text format: name{labels} → number. `up` False: it answers 500."""

    def __init__(self):
        self.metrics, self.up, self.lock = {}, True, threading.Lock()
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with exporter.lock:
                    body = "".join(f"{name} {value}\n" for name, value in exporter.metrics.items()).encode()
                self.send_response(200 if exporter.up else 500)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def set(self, metrics):
        with self.lock:
            self.metrics.update(metrics)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Traffic:
    """A service that answers: each tick adds requests, some of them errors, with their times in a histogram."""

    BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0)

    def __init__(self, exporter, extra=""):
        self.exporter, self.extra = exporter, extra
        self.total, self.failed, self.buckets, self.sum, self.count = 0, 0, [0] * len(self.BUCKETS), 0.0, 0
        self.rate, self.error_share, self.seconds = 100, 0.0, 0.08
        self.label, self.running = "status", True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.running:
            new = self.rate // 10
            bad = round(new * self.error_share)
            self.total += new - bad
            self.failed += bad
            self.count += new
            self.sum += new * self.seconds
            for i, le in enumerate(self.BUCKETS):
                self.buckets[i] += new if self.seconds <= le else 0
            metrics = {f'http_requests_total{{{self.label}="200"}}': self.total}
            if self.failed:
                metrics[f'http_requests_total{{{self.label}="503"}}'] = self.failed
            for le, count in zip(self.BUCKETS, self.buckets):
                metrics[f'http_request_duration_seconds_bucket{{le="{le}"}}'] = count
            metrics['http_request_duration_seconds_bucket{le="+Inf"}'] = self.count
            metrics["http_request_duration_seconds_sum"], metrics["http_request_duration_seconds_count"] = self.sum, self.count
            self.exporter.set(metrics)
            time.sleep(0.1)

    def close(self):
        self.running = False
        self.thread.join()


class Prometheus:
    """Started when made, scraping `targets`: job → (address, labels). `rules`: text of a rule file."""

    def __init__(self, folder, targets, rules=""):
        if not shutil.which("prometheus"):
            (pytest.fail if os.environ.get("RUNBOOK_REQUIRE_LAB") == "1" else pytest.skip)("prometheus is not installed: ./dev deps lab")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        folder.mkdir(exist_ok=True)
        jobs = "".join(f"  - job_name: {job}\n    static_configs:\n      - targets: ['{address}']\n        labels: {json.dumps(labels)}\n" for job, (address, labels) in targets.items())
        (folder / "rules.yml").write_text(rules)
        (folder / "prometheus.yml").write_text("global:\n  scrape_interval: 500ms\n  scrape_timeout: 400ms\n  evaluation_interval: 500ms\n"
                                               + ("rule_files: [rules.yml]\n" if rules else "") + "scrape_configs:\n" + jobs)
        self.log = folder / "log"
        self.process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                         f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
                                        stdout=subprocess.DEVNULL, stderr=self.log.open("wb"))
        self.wait(lambda: self.get("/-/ready") is not None)

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url.rstrip("/") + path, timeout=5) as response:
                return response.read()
        except OSError:
            return None

    def query(self, promql):
        body = self.get("/api/v1/query?query=" + urllib.parse.quote(promql))
        return [float(one["value"][1]) for one in json.loads(body)["data"]["result"]] if body else []

    def wait(self, test, seconds=30):
        until = time.monotonic() + seconds
        while not test():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait(20)

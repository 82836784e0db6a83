"""What the tests of the migration playbooks share: an application's health address, and a run whose questions are answered as they come."""
import http.server
import json
import threading

from conftest import Result


def serve_health(status):
    """A server on a port of its own that answers every GET with status()."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def followed(run, confirm, watch=None, seconds=100):
    """Reads a started run's events to its end. `confirm` gets each question for a confirmation, `watch` each event."""
    limit, lines = threading.Timer(seconds, run.process.kill), []
    limit.start()
    for line in run.process.stdout:
        lines.append(line)
        event = json.loads(line)
        if watch:
            watch(event)
        if event["event"] == "gate.opened" and event.get("kind") == "confirm":
            confirm(event)
    rest = run.finish()
    limit.cancel()
    return Result(rest.exit, "".join(lines) + rest.out, rest.err)


def confirmed(runbook, event):
    """Says yes, with evidence."""
    said = runbook("confirm", "r", event["item"], "--evidence", "https://example.org/1")
    assert said.exit == 0, said.out + said.err

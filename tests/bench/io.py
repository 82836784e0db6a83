#!/usr/bin/python3
"""Measures what a run spends on waiting and on listening: thousands of HTTP requests at once, and the output of a command.

Like tests/bench/run: figures of one machine at one time, worth keeping only by hand in docs/figures.md. Needs no server.

  tests/bench/io.py [--waits N] [--megabytes N] [--repeat N] [--build FOLDER] [--only waits,output]
"""
import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waits", type=int, default=10_000, help="requests that wait at once (default 10,000)")
    parser.add_argument("--megabytes", type=int, default=400, help="output of the command (default 400)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of the output; the middle one counts (default 3)")
    parser.add_argument("--build", default=HERE.parents[1] / "build" / "release", type=Path, help="folder with the runbook binary")
    parser.add_argument("--only", default="waits,output", help="parts, with commas")
    return parser.parse_args()


class Holder:
    """A server that answers nobody until so many wait, and then all of them."""

    def __init__(self, waits):
        self.waits, self.open, self.most, self.port = waits, 0, 0, 0
        self.ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        self.ready.wait()

    async def serve(self):
        self.all = asyncio.Event()
        server = await asyncio.start_server(self.one, "127.0.0.1", 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await server.serve_forever()

    async def one(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.open += 1
        self.most = max(self.most, self.open)
        if self.open == self.waits:
            await asyncio.sleep(1)  # so that what they cost while they wait can be seen
            self.all.set()
        await self.all.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


def run(options, folder, playbook):
    """The run's events, seconds, CPU seconds and the highest resident memory in MB."""
    path = folder / "bench.lua"
    path.write_text(playbook)
    env = {**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder), "MY_TOKEN": "s3cret-token-of-the-bench"}
    start = time.monotonic()
    with open(folder / "out", "w", encoding="utf-8") as out:
        process = subprocess.Popen([options.build / "runbook", "exec", path, "--output", "json"], env=env, stdin=subprocess.DEVNULL, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    if process.returncode != 0:
        sys.exit(f"bench: exit {process.returncode}: {(folder / 'out').read_text()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def waits(options, folder):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    holder = Holder(options.waits)
    wall, cpu, memory = run(options, folder, f"""
        playbook "waits" {{ summary = "x", needs = {{ http = {{ "127.0.0.1" }} }} }}
        step "wait" {{ run = function()
          local all = {{}}
          for i = 1, {options.waits} do all[i] = function() return http.status("http://127.0.0.1:{holder.port}/", {{ timeout = "10m" }}) end end
          local fine = 0
          for _, status in ipairs(parallel(all)) do fine = fine + (status == 200 and 1 or 0) end
          return fine
        end }}
        checkpoint "all" {{ run = function() return true end, pass = function() return true end }}
    """)
    said = [json.loads(line) for line in (folder / "out").read_text().splitlines()]
    fine = [e for e in said if e["event"] == "step.finished"][0]["result"]
    print(f"{options.waits:,} requests at once ({holder.most:,} seen waiting, {fine:,} answered): "
          f"{memory:.0f} MB resident at most (goal 192), {wall:.1f} s, {cpu:.1f} s of CPU")


def output(options, folder):
    line = "2026-11-21T15:00:00Z INFO worker 12 copied 1000 rows of table feedbacks, 98,230 to go, 12.4 MB/s, no errors so far\n"
    block = folder / "block"
    block.write_text(line * (1_000_000 // len(line)))
    command = f"i=0; while [ $i -lt {options.megabytes} ]; do cat {block}; i=$((i + 1)); done"
    bare = []
    ours, cpus, memories = [], [], []
    size = block.stat().st_size * options.megabytes
    for _ in range(options.repeat):
        start = time.monotonic()
        with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE) as process:
            while process.stdout.read(1 << 16):
                pass
        bare.append(time.monotonic() - start)
        wall, cpu, memory = run(options, folder, f"""
            local p = playbook "output" {{ summary = "x", needs = {{ shell = {{ "sh" }} }}, params = {{ token = {{ "secret", from = "env:MY_TOKEN", doc = "x" }} }} }}
            step "listen" {{ run = function() return sh.run({{ "{command}", shell = true, reads = true }}).out_bytes end }}
        """)
        ours.append(wall), cpus.append(cpu), memories.append(memory)
    wall = statistics.median(ours)
    print(f"{size / 1e6:.0f} MB of output, {len(line)} bytes a line, one secret: {size / 1e6 / wall:.0f} MB/s (goal 200), "
          f"{statistics.median(cpus):.2f} s of CPU, {max(memories):.0f} MB resident at most; "
          f"a reader that throws it away: {size / 1e6 / statistics.median(bare):.0f} MB/s")


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        for part in options.only.split(","):
            {"waits": waits, "output": output}[part](options, Path(folder))


if __name__ == "__main__":
    main()

"""Running things, timing them, and the middle of three."""
import os
import statistics
import subprocess
import sys
import threading
import time


class Sample:
    """Seconds of wall clock, seconds of the client's CPU, megabytes resident at most, seconds of the load alone."""

    def __init__(self, wall, cpu=0.0, rss=0.0, load=0.0):
        self.wall, self.cpu, self.rss, self.load = wall, cpu, rss, load


def timed(argv, env=None, **options):
    """One child process with its own CPU and memory; ends the benchmark where it fails."""
    began = time.monotonic()
    child = subprocess.Popen(argv, env=env, **options)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if child.returncode != 0:
        sys.exit(f"bench: {os.path.basename(argv[0])} {argv[1] if len(argv) > 1 else ''} ended with exit {child.returncode}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def together(jobs):
    """Wall-clock seconds of functions run side by side."""
    failures = []

    def guarded(job):
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - handed on below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Sample(time.monotonic() - began)


def pipe(left, right):
    """`left | right`, each (argv, env); both must succeed."""
    one = subprocess.Popen(left[0], env=left[1], stdout=subprocess.PIPE)
    two = subprocess.Popen(right[0], env=right[1], stdin=one.stdout, stderr=subprocess.DEVNULL)
    one.stdout.close()
    if two.wait() != 0 or one.wait() != 0:
        sys.exit(f"bench: {left[0][0]} | {right[0][0]} failed")


def median(samples, part="wall"):
    return statistics.median(getattr(sample, part) for sample in samples)


def interleaved(repeat, ways):
    """Each way once, then all again: a slow minute of the machine hits every way. {name: [Sample]}."""
    results = {name: [] for name, _ in ways}
    for turn in range(repeat):
        for name, way in ways:
            sample = way()
            results[name].append(sample)
            print(f"  {turn + 1}/{repeat}  {name:<42} {sample.wall:7.2f} s", file=sys.stderr, flush=True)
    return results

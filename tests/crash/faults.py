#!/usr/bin/python3
"""An error at every effect of playbooks shaped like real ones: what is left is what was there before, or declared kept.

usage: faults.py [--short|--long]
Each effect of a run fails once: before it happened, halfway, and after it happened (RUNBOOK_FAILPOINT=…:raise). The run
must end with exit 1 and the state from before it, plus what the playbook keeps; or, where the step tries again, with
exit 0 and the state of a run without a fault. Prints figures; exit 1 on a failure.
"""
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from kill import Case, Reference, place

KEPT = {"migration": ({}, {"backup": "all of it"}), "schema": ({}, {}), "deploy": ({"log": 1}, {})}
POINTS = ("effect.before", "effect.inside", "effect.after")


def judge(case, code, reference, kept):
    standing, files = case.standing()
    failed = [step for event, step, _ in case.events() if event == "step.failed"]
    if code == 0:
        if not any(event in ("attempt.failed", "substep.retried") for event, _, _ in case.events()):
            return "it succeeded, and nobody heard of the fault"
        wanted = (reference.standing, reference.files)
        return None if (standing, files) == wanted else f"it succeeded with {standing} {files}, without a fault {wanted}"
    if code != 1:
        return f"exit {code}: {case.said[-1]}"
    if not failed:
        return "it failed, and no step says so"
    # What is declared kept is there only where its step had come that far.
    extra = {name: n for name, n in standing.items() if kept[0].get(name) != n}
    more = {name: text for name, text in files.items() if kept[1].get(name) != text}
    return f"{failed[0]} failed, and {extra} {more} is left" if extra or more else None


def one(entry):
    shape, failpoint, reference = entry
    with tempfile.TemporaryDirectory(dir=place(), prefix="rb-fault-") as folder:
        case = Case(shape, folder)
        code = case.run([failpoint])
        problem = judge(case, code, reference, KEPT[shape])
        return code, problem and f"{shape} with RUNBOOK_FAILPOINT={failpoint}: {problem}"


def main():
    start, cases = time.monotonic(), []
    for shape in KEPT:
        reference = Reference(shape)
        count = Counter(reference.points)
        cases += [(shape, f"{point}:{number}:raise", reference) for point in POINTS for number in range(1, count[point] + 1)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, cases))
    problems = [problem for _, problem in results if problem]
    for problem in problems[:10]:
        print(f"  {problem}")
    print(f"faults: {len(cases)} in {len(KEPT)} playbooks, exits {dict(sorted(Counter(code for code, _ in results).items()))}, "
          f"{time.monotonic() - start:.1f} s, failures {len(problems)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

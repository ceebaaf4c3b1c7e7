#!/usr/bin/env python3
"""Holds instruction counts against benches/counts/baseline.json: counts.py SUMMARIES [--accept]. Called by ci/counts.sh.

SUMMARIES: what gungraun prints with `--output-format json`, one benchmark a line.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

BASELINE = Path("benches/counts/baseline.json")
LIMIT = 10.0  # percent


def says(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def counted_with():
    """What changes the counts although the code is the same. valgrind shows a program what the processor can do, and the C
    library and some crates choose their routines by that."""
    flags = Path("/proc/cpuinfo").read_text().split()
    features = [flag for flag in ("avx2", "bmi2") if flag in flags]
    return {
        "rustc": says("rustc", "--version").removeprefix("rustc "),
        "cpu": " ".join([platform.machine(), *features]),
        "libc": says("getconf", "GNU_LIBC_VERSION"),
        "valgrind": says("valgrind", "--version").removeprefix("valgrind-"),
    }


def counts_of(path):
    counts = {}
    for line in Path(path).read_text().splitlines():
        found = json.loads(line)
        name = " ".join(filter(None, [found["function_name"], found["id"]]))
        (profile,) = found["profiles"]
        counts[name] = profile["summaries"]["total"]["summary"]["Callgrind"]["Ir"]["metrics"]["Left"]["Int"]
    return counts


now, tools = counts_of(sys.argv[1]), counted_with()
baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"counted_with": {}, "instructions": {}}
before = baseline["instructions"]

grown, unknown = [], sorted(set(now) ^ set(before))
print(f"{'':<28} {'now':>9} {'baseline':>9} {'change':>8}")
for name, count in now.items():
    if name not in before:
        print(f"{name:<28} {count:>9} {'none':>9}")
        continue
    change = 100 * (count - before[name]) / before[name]
    print(f"{name:<28} {count:>9} {before[name]:>9} {change:>+7.1f} %{'  GROWN' if change >= LIMIT else ''}")
    if change >= LIMIT:
        grown.append(name)

print("left out: instructions of a release, and of the answering thread: they depend on when it is woken")
if "--accept" in sys.argv[2:]:
    BASELINE.write_text(json.dumps({"counted_with": tools, "instructions": now}, indent=2) + "\n")
    print(f"accepted: {BASELINE} is these {len(now)} counts")
    sys.exit(0)
others = [f"{tool} {was}, here {tools[tool]}" for tool, was in baseline["counted_with"].items() if tools[tool] != was]
if others:
    print(f"left out: judging the instruction counts: {BASELINE} was counted with another {'; '.join(others)}")
    sys.exit(0)
if unknown:
    print(f"only here, or only in {BASELINE}: {', '.join(unknown)}", file=sys.stderr)
if grown:
    print(f"{len(grown)} of {len(now)} take at least {LIMIT:g} % more instructions: {', '.join(grown)}", file=sys.stderr)
if grown or unknown:
    print("if that is what it takes: ci/counts.sh --accept, and commit the file with the reason", file=sys.stderr)
    sys.exit(1)
print(f"{len(now)} counts, none has grown by {LIMIT:g} %")

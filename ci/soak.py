#!/usr/bin/env python3
"""Many instances and a client each, for a long time: what a holder has must not grow. By hand, on Linux:

    cargo build --release --bin gateway && python3 ci/soak.py --minutes 60

Prints a line a sample, a table at the end, and a verdict; exits with 1 if something was not flat:

- descriptors and threads of each holder are those of the first minute. They are counted while its client is at rest, with
  the two connections that it keeps; of five looks the one in the middle, because a watcher finds its holder anew every two
  seconds, and has no connection then, or two, for a moment.
- memory of its own (anonymous pages) is at the end at most that of minute 5 and ALLOWANCE more, resident memory with
  SHARED more (pages of files come and go).
- no child of a holder is a zombie, at any sample; every answer to a client was the right one.
- at the end `stop` ends all, with everything that they started; the history tells one released generation; in the
  directories are the documented files, and in HOME, TMPDIR and XDG_RUNTIME_DIR none.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from soak_client import Client
from soak_proc import Sample, everybody, is_zombie

ALLOWANCE, SHARED = 256, 1024  # KiB
FILES = {"pid", "sock", "json", "history", "child", "notify", "log"}
NOTIFIER = """
import os, socket, time
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = os.environ["NOTIFY_SOCKET"]
to.connect("\\0" + path[1:] if path[0] == "@" else path)
to.send(b"READY=1")
for number in range(10**9):
    time.sleep(7)
    to.send(b"STATUS=round %d" % (number % 10))
"""
READER = "while read -r line; do :; done"
# What holders there are, in turn: the options, PROGRAM, and whether messages are taken.
KINDS = [
    ("bare", [], [], True),
    ("program", [], ["sleep", "infinity"], False),
    ("notify", ["--notify"], ["python3", "-c", NOTIFIER], False),
    ("messages", ["--messages", "stdin"], ["sh", "-c", READER], True),
    ("detached", ["--detach", "--messages", "stdin"], ["sh", "-c", READER], True),
]


class Holder:
    """An instance, its holder, and its client."""

    def __init__(self, number, gateway, root, environment):
        self.kind, options, program, self.takes = KINDS[number % len(KINDS)]
        self.name = f"soak{number}"
        # The first eight share a directory.
        self.dir = root / ("shared" if number < 8 else self.name)
        self.environment = environment
        self.gateway = [gateway, "--name", self.name, "--dir", str(self.dir)]
        self.process = subprocess.Popen(
            [*self.gateway, "run", *options, *(["--", *program] if program else [])],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.run("wait", "--ready", "--timeout", "60s", expect=0)
        status = json.loads(self.run("status", "--json", expect=0))
        self.pid, self.child = status["holder"]["pid"], (status["holder"]["child"] or {}).get("pid")
        if self.kind == "detached":
            self.process.wait()
        self.client = Client(number, self.gateway, environment, str(self.dir / f"{self.name}.sock"), self.takes)
        self.samples = []

    def run(self, *args, expect=None):
        ended = subprocess.run(
            [*self.gateway, *args], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert expect in (None, ended.returncode), f"{self.name}: {args} ended with {ended}"
        return ended.stdout

    def faults_at_the_end(self):
        """Stops it, and gives what is wrong then."""
        self.run("stop", expect=0)
        if self.kind != "detached" and self.process.wait(60) != 0:
            yield f"{self.name}: run ended with {self.process.returncode}"
        history = [json.loads(line) for line in self.run("history", "--json", expect=0).splitlines()]
        if [entry["end"] for entry in history] != ["released"]:
            yield f"{self.name}: the history is {history}"
        if (self.dir / f"{self.name}.pid").read_text():
            yield f"{self.name}: the pid file is not empty"

    def kill(self):
        self.client.over.set()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.kind == "detached" and self.pid in everybody(str(self.dir)):
            os.kill(self.pid, signal.SIGKILL)


def take_samples(holders):
    """What each has, while all clients are at rest. Gives faults."""
    for holder in holders:
        holder.client.between.acquire()
    time.sleep(1)
    looks = []
    for _ in range(5):
        looks.append([Sample(holder.pid) for holder in holders])
        time.sleep(0.3)
    for holder, *five in zip(holders, *looks):
        holder.samples.append(sorted(five, key=lambda sample: sample.descriptors)[2])
        for pid in five[-1].children:
            if is_zombie(pid):
                yield f"{holder.name}: child {pid} is a zombie"
        holder.client.between.release()


def faults_of_growth(holder, first, settled):
    now, then = holder.samples[-1], holder.samples[settled]
    for what in ("descriptors", "threads"):
        counts = [getattr(sample, what) for sample in holder.samples[first:]]
        if len(set(counts)) > 1:
            yield f"{holder.name}: {what} were {counts[0]}, then between {min(counts)} and {max(counts)}"
    for what, allowed in (("anonymous", ALLOWANCE), ("resident", SHARED)):
        was, has = getattr(then, what), getattr(now, what)
        if has > was + allowed:
            yield f"{holder.name}: {what} memory was {was} KiB, and is {has} KiB"


def table(holders, settled):
    print(f"\n{'holder':8} {'kind':9}", end="")
    for what in ("descriptors", "threads", "own KiB", "resident KiB"):
        print(f" | {what + ': start settled end min max':>34}", end="")
    print(" | cpu ms/min | wake-ups/s")
    for holder in holders:
        print(f"{holder.name:8} {holder.kind:9}", end="")
        for what in ("descriptors", "threads", "anonymous", "resident"):
            all_of = [getattr(sample, what) for sample in holder.samples]
            row = (all_of[0], all_of[settled], all_of[-1], min(all_of), max(all_of))
            print(" | " + f"{' '.join(f'{number:6}' for number in row)}", end="")
        begin, end = holder.samples[0], holder.samples[-1]
        seconds = end.at - begin.at
        cpu, wakes = (end.cpu - begin.cpu) * 60_000 / seconds, (end.wake_ups - begin.wake_ups) / seconds
        print(f" | {cpu:10.1f} | {wakes:10.2f}")


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--minutes", type=float, default=60)
    args.add_argument("--instances", type=int, default=20)
    args.add_argument("--every", type=float, default=30, help="seconds between two samples")
    args.add_argument("--gateway", default="target/release/gateway")
    args = args.parse_args()
    root = Path(tempfile.mkdtemp(prefix="soak."))
    aside = {name: root / name.lower() for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR")}
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAY_", "XDG_"))}
    for name, path in aside.items():
        path.mkdir(mode=0o700)
        environment[name] = str(path)
    print(f"{args.instances} instances for {args.minutes:g} minutes in {root}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to stop"))
    holders, faults = [], []
    began = time.monotonic()
    try:
        for number in range(args.instances):
            holders.append(Holder(number, os.path.abspath(args.gateway), root, environment))
            holders[-1].client.settle()
            holders[-1].client.start()
        while True:
            faults += take_samples(holders)
            minutes = (time.monotonic() - began) / 60
            totals = {
                what: sum(getattr(holder.samples[-1], what) for holder in holders)
                for what in ("descriptors", "threads", "anonymous", "resident")
            }
            wrong = sum(len(holder.client.wrong) for holder in holders)
            print(f"{minutes:6.2f} min: {totals}, {wrong} wrong answers, {len(faults)} faults", flush=True)
            if minutes >= args.minutes:
                break
            time.sleep(max(0, min(args.every, args.minutes * 60 - (time.monotonic() - began))))
        times = [sample.at - holders[0].samples[0].at for sample in holders[0].samples]
        after = lambda seconds: next(at for at, time_ in enumerate(times) if time_ >= seconds)  # noqa: E731
        first, settled = after(min(60, times[-1] / 6)), after(min(300, times[-1] / 2))
        deeds = sum((holder.client.done for holder in holders), start=holders[0].client.done.__class__())
        for holder in holders:
            holder.client.end()
            faults += holder.client.wrong
            faults += faults_of_growth(holder, first, settled)
        for holder in holders:
            faults += holder.faults_at_the_end()
        # A holder has let go before it ends, so that `stop` is done a moment before that.
        gone_by = time.monotonic() + 10
        while (alive := everybody(str(root))) and time.monotonic() < gone_by:
            time.sleep(0.1)
        faults += [f"pid {pid} is still there" for pid in alive]
        for path in sorted({holder.dir for holder in holders}):
            names = {holder.name for holder in holders if holder.dir == path}
            faults += [
                f"left over: {file}"
                for file in path.iterdir()
                if file.name.rpartition(".")[0] not in names or file.suffix[1:] not in FILES
            ]
        faults += [f"left over: {file}" for path in aside.values() for file in path.rglob("*")]
    finally:
        for holder in holders:
            holder.kill()
    table(holders, settled)
    mine, theirs = os.times(), os.times()
    print(f"\ndone: {dict(deeds)}")
    print(f"cpu of all clients: {100 * sum(mine[:2] + theirs[2:4]) / (time.monotonic() - began):.1f} % of a core")
    print(f"cpu of all holders: {100 * sum(h.samples[-1].cpu - h.samples[0].cpu for h in holders) / times[-1]:.1f} %")
    for fault in faults:
        print("FAULT", fault)
    print(f"verdict: {'NOT flat' if faults else 'flat'} over {minutes:.1f} minutes, {len(times)} samples")
    if not faults:
        shutil.rmtree(root)
    return 1 if faults else 0


sys.exit(main())

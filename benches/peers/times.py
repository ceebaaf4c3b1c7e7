"""Whole processes, from the spawn to the end: a status of a living holder, a refused start, a first start. One round robin.

This process, the holders and the stopwatch are pinned to one processor: a round trip between two would cost whatever
waking an idle one costs.
"""

import os
import statistics
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass

from install import say
from peers import Peer
from processes import Place


@dataclass
class Row:
    kind: str
    name: str
    argv: list
    expect: str
    env: dict
    every: int = 1


def quantiles(values):
    values = sorted(values)
    return {"median": statistics.median(values), "p10": values[len(values) // 10], "p90": values[len(values) * 9 // 10],
            "n": len(values)}


def plan(rows):
    lines = []
    for row in rows:
        env = [f"{key}={value}" for key, value in row.env.items()]
        lines += [str(row.every), row.expect, str(len(env)), *env, str(len(row.argv)), *row.argv]
    return "".join(f"{line}\n" for line in lines)


def measure(tools, peers, static, rounds):
    """The rows, each with its quantiles in milliseconds; those that fail say how."""
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(here)})
    try:
        with ExitStack() as stack:
            rows = all_rows(tools, peers, static, stack)
            for row in rows:
                row.every = min(row.every, max(1, rounds // 5))  # five times at the least
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(plan(rows))
                file.flush()
                said = subprocess.run([tools / "stopwatch", "spawn", str(rounds), file.name], capture_output=True, text=True)
            return [result(row, index, said.stdout) for index, row in enumerate(rows)]
    finally:
        os.sched_setaffinity(0, here)


def result(row, index, text):
    own = [line.split(" ", 1)[1] for line in text.splitlines() if line.startswith(f"{index} ")]
    times = [int(each) / 1e6 for each in own if each.isdigit()]
    failed = [each for each in own if not each.isdigit()]
    if failed:
        say(f"{row.kind}: {row.name}: {len(failed)} of {len(own)} {failed[0]}")
    return {"kind": row.kind, "name": row.name, "failed": len(failed)} | (quantiles(times) if times else {"n": 0})


def all_rows(tools, peers, static, stack):
    floor = Peer("floor", holder=(str(tools / "floor_run"), "{d}"))
    rows = [Row("floor", "/bin/true", ["/bin/true"], "0", {}), Row("floor", "/bin/false", ["/bin/false"], "1", {}),
            Row("floor", "Rust hello", [str(tools / "hello")], "0", {}),
            Row("floor", "Rust hello with clap and tokio", [str(tools / "hello_clap_tokio")], "0", {})]
    place = stack.enter_context(Place())
    place.start(floor)
    rows.append(Row("refused", "floor refused", place.fill(floor.holder), "75", {}))
    place = stack.enter_context(Place())
    rows.append(Row("first", "floor start, files left over", place.fill(floor.holder), "holding", {}))
    for peer in peers:
        place = stack.enter_context(Place())
        env = {key: place.fill(value) for key, value in peer.env.items()}
        if peer.first:
            own = stack.enter_context(Place())
            by_line = peer.name == "gateway"
            name = "gateway run, files left over" if by_line else peer.name
            rows.append(Row("first", name, own.fill(peer.first), "holding" if by_line else "0", env, peer.rare))
        try:
            place.start(peer)
        except (TimeoutError, OSError, subprocess.TimeoutExpired) as error:
            say(f"left out: {peer.name}: {error}")
            continue
        if peer.name == "gateway":
            rows.append(Row("status", "floor status", [str(tools / "floor_status"), place.fill("{d}/i")], "0", {}))
        if peer.status and "library" not in peer.name:
            rows.append(Row("status", rows_name(peer.status), place.fill(peer.status), "0", env, peer.rare))
        if peer.second and peer.refused:
            start = peer.first if peer.name == "gateway" else peer.second
            name = "gateway run" if peer.name == "gateway" else peer.name
            rows.append(Row("refused", name, place.fill(start), str(peer.refused), env, peer.rare))
        if peer.name == "gateway" and static:
            for kind, argv, code in [("status", peer.status, "0"), ("refused", peer.first, str(peer.refused))]:
                rows.append(Row(kind, rows_name(argv) + ", linked statically", [static, *place.fill(argv[1:])], code, env))
    return rows


def rows_name(argv):
    return os.path.basename(argv[0]) + tail(argv)


def tail(argv):
    """The words of a command that say what is asked, without its places."""
    words = [each for each in argv[1:] if "{d}" not in each and each not in ("-s", "-S", "-U", "-c", "--dir", "--pidfile")]
    return "".join(f" {each}" for each in words)


def of(rows, kind, name):
    return next((row.get("median") for row in rows if row["kind"] == kind and row["name"] == name), None)


def targets(rows):
    """What issue 6 asks for, as (what, the ratio, at most)."""
    status = of(rows, "status", "gateway status --json")
    refused = of(rows, "refused", "gateway run")
    wanted = [("gateway status --json ÷ floor status", status, of(rows, "status", "floor status"), 1.25),
              ("gateway status --json ÷ tmux has-session", status, of(rows, "status", "tmux has-session"), 0.6),
              ("gateway status --json ÷ hermes gateway status", status, of(rows, "status", "hermes gateway status"), 1 / 300),
              ("gateway run, refused with a pong ÷ flock -n on a held file", refused, of(rows, "refused", "flock -n"), 1.25)]
    return [(what, own / other if own and other else None, most) for what, own, other, most in wanted]

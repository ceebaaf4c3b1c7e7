"""Hundreds that start at once: one should win, and every other be told. Beside as many `/bin/false`, in the same loop."""

import statistics
import subprocess
import tempfile

from processes import Place
from times import Row, plan



def contenders(tools, peers):
    rows = [Row("herd", "/bin/false", ["/bin/false"], "1", {}),
            Row("herd", "floor run", [str(tools / "floor_run"), "{}"], "75", {})]
    for peer in peers:
        if peer.name == "gateway":
            rows.append(Row("herd", "gateway run", [each.replace("{d}", "{}") for each in peer.holder], "75", {}))
        elif peer.fork or peer.name in ("flock -n", "setlock -n", "lckdo"):
            rows.append(Row("herd", peer.name, [each.replace("{d}", "{}") for each in peer.holder], str(peer.refused), {}))
    return rows


def run(tools, rows, size, rounds):
    """For each row the herds: milliseconds, winners, ended, with the code of a refusal, told, hanging."""
    found = [[] for _ in rows]
    with Place() as place, tempfile.NamedTemporaryFile("w") as file:
        file.write(plan(rows))
        file.flush()
        said = subprocess.run([tools / "stopwatch", "herd", str(size), str(rounds), place.dir, file.name],
                              stdout=subprocess.PIPE, text=True, check=True)
    for line in said.stdout.splitlines():
        index, nanoseconds, *rest = map(int, line.split())
        found[index].append((nanoseconds / 1e6, *rest))
    return found


def measure(tools, peers, args):
    rows = contenders(tools, peers)
    found = run(tools, rows, args.size, 2 if args.quick else 6)
    more = (0 if args.quick else 100) if args.herds is None else args.herds
    if more:
        own = next(index for index, row in enumerate(rows) if row.name == "gateway run")
        found[own] += run(tools, [rows[own]], args.size, more)[0]
    in_turns = [each[:2 if args.quick else 6] for each in found]
    false = statistics.median(each[0] for each in in_turns[0])
    return [{"name": row.name, "count": args.size, "herds": len(herds), "ms": statistics.median(each[0] for each in turns),
             "ratio": statistics.median(each[0] for each in turns) / false, "winners": sorted({each[1] for each in herds}),
             "one_winner": sum(each[1] == 1 for each in herds), "refused": min(each[3] for each in herds),
             "told": min(each[4] for each in herds), "hanging": max(each[5] for each in herds)}
            for row, herds, turns in zip(rows, found, in_turns)]


def targets(rows):
    own = next(row for row in rows if row["name"] == "gateway run")
    size = own["count"]
    return [(f"gateway: {size} at once, all decided ÷ {size} × /bin/false", own["ratio"], 1.6),
            (f"gateway: herds without exactly one winner, of {own['herds']}", own["herds"] - own["one_winner"], 0),
            (f"gateway: of {size - 1} losers, those who were not told of a living holder, at worst", size - 1 - own["told"], 0)]

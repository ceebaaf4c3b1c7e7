"""From the SIGKILL of a holder to the next one, with 10 MB and with 1 GB resident.

The kernel frees a process's memory before it closes its files, so that no successor can be earlier than the bare waiter
for a lock in the same death; what a program may add is its own start.
"""

import subprocess

from install import say
from processes import Place
from times import quantiles


def measure(tools, gateway, quick):
    rows = []
    for megabytes, rounds in ((10, 10 if quick else 40), (1024, 4 if quick else 12)):
        if megabytes > available() * 0.7:
            say(f"left out: {megabytes} MB resident: no room")
            continue
        with Place() as place:
            said = subprocess.run([tools / "stopwatch", "death", str(rounds), str(megabytes), place.dir, tools, gateway],
                                  stdout=subprocess.PIPE, text=True, check=True)
        times = [[int(each) / 1e6 for each in line.split()] for line in said.stdout.splitlines()]
        columns = zip(("lock", "flock", "gateway", "own"), zip(*times))
        rows.append({"megabytes": megabytes} | {name: quantiles(values) for name, values in columns})
    return rows


def available():
    """In megabytes."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) / 1024


def targets(rows):
    return [(f"{row['megabytes']} MB: SIGKILL to the next gateway holding ÷ (lock granted + its own start)",
             row["gateway"]["median"] / (row["lock"]["median"] + row["own"]["median"]), 1.2) for row in rows]

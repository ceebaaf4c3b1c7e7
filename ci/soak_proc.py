"""What `/proc` says of a holder, for `ci/soak.py`."""

import os
import re
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """The fields behind the name, which may contain anything; the first one is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def is_zombie(pid):
    try:
        return stat(pid)[0] == "Z"
    except FileNotFoundError:
        return False


def number(text, key):
    return int(re.search(rf"^{key}:\s*(\d+)", text, re.M).group(1))


class Sample:
    """Memory in KiB, processor time in seconds, wake-ups since its start."""

    def __init__(self, pid):
        proc = Path(f"/proc/{pid}")
        self.at = time.monotonic()
        self.descriptors = len(os.listdir(proc / "fd"))
        memory = (proc / "smaps_rollup").read_text()
        self.anonymous, self.resident = number(memory, "Anonymous"), number(memory, "Rss")
        fields = stat(pid)
        self.cpu = (int(fields[11]) + int(fields[12])) / TICK
        tasks = list((proc / "task").iterdir())
        self.threads = len(tasks)
        self.wake_ups = sum(number((task / "status").read_text(), "voluntary_ctxt_switches") for task in tasks)
        self.children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def everybody(mark):
    """The processes that have this in their environment or command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
    return found

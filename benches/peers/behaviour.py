"""What the next start and a status see after the accidents of a holder, and after how long.

1. `kill -9`, reaped; with a child alive that was forked and executed nothing; with one that executed another program.
2. `kill -9`, and a stranger has its pid now: the number in every file of the holder's becomes that of a living process.
3. `kill -9`, not reaped: a zombie.
4. SIGSTOP; and then the queue of its socket filled until it takes no more.

An attempt that takes longer than the limit counts as hanging. Nothing is cleaned up by hand between accident and attempt.
"""

import os
import re
import signal
import statistics
import subprocess
import time

from install import say
from processes import LIMIT, Place

COLUMNS = {"killed": "kill -9", "forked": "+ forked child lives", "executed": "+ exec'd child lives", "recycled": "pid recycled",
           "zombie": "zombie", "status": "stopped: status", "second": "stopped: second start",
           "full_status": "queue full: status", "full_second": "queue full: second start"}
GRACE = 1.0  # seconds


def measure(peers, quick):
    rows = []
    for peer in peers:
        limit = 2.0 if quick and not peer.name.startswith(("gateway", "incumbent")) else LIMIT
        row = {"name": peer.name, "limit": limit}
        for column in COLUMNS:
            try:
                row[column] = scenario(peer, column, limit, 1 if quick else 3)
            except (TimeoutError, OSError, subprocess.TimeoutExpired) as error:
                say(f"left out: {peer.name}, {COLUMNS[column]}: {error}")
                row[column] = None
        rows.append(row)
    return rows


def scenario(peer, column, limit, rounds):
    """The code (None: it hangs) and the seconds of an attempt, or None where there is no such accident."""
    start = peer.second or peer.restart
    if column == "killed":
        tries = [after_death(peer, peer.holder, column, limit) for _ in range(rounds)]
        return {"code": tries[-1]["code"], "s": statistics.median(each["s"] for each in tries)}
    if column in ("forked", "executed"):
        holder = peer.fork if column == "forked" else peer.exec
        return after_death(peer, holder, column, limit) if holder else None
    if column == "zombie" or (column == "recycled" and peer.pidfile):
        return after_death(peer, peer.holder, column, limit)
    ask = peer.status if column.endswith("status") else start if peer.refused else ()
    if column == "recycled" or not ask or (column.startswith("full") and not peer.socket):
        return None
    with Place() as place:
        os.kill(place.start(peer), signal.SIGSTOP)
        if column.startswith("full"):
            place.fill_backlog(socket_of(peer, place))
        code, seconds = place.attempt(peer, ask, limit)
        return {"code": code, "s": seconds}


def socket_of(peer, place):
    if peer.socket != "gpg":
        return place.fill(peer.socket)
    said = subprocess.run(["gpgconf", "--list-dirs", "agent-socket"], env=place.env(peer), capture_output=True, text=True)
    return said.stdout.strip()


def after_death(peer, holder, accident, limit):
    with Place() as place:
        pid = place.start(peer, holder)
        if peer.group and accident != "executed":
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if peer.group and accident != "executed":
            place.wait_for_group(pid)
        if accident != "zombie":
            os.waitpid(pid, 0)
        if accident == "recycled":
            recycle(place, pid)
        if not peer.restart:
            code, seconds = place.attempt(peer, peer.second, limit)
            return {"code": code, "s": seconds}
        begun = time.monotonic()
        try:
            place.start(peer, peer.restart, limit)
            return {"code": 0, "s": time.monotonic() - begun}
        except TimeoutError as error:
            return {"code": 1 if "ended" in str(error) else None, "s": time.monotonic() - begun}


def recycle(place, pid):
    """A stranger lives, and whatever names the dead one names it."""
    stranger = place.stranger()
    for path in place.dir.rglob("*"):
        if path.is_file() and path.stat().st_size < 1 << 16 and path.name != "out":
            text = path.read_bytes()
            new = re.sub(rb"(?<!\d)%d(?!\d)" % pid, str(stranger).encode(), text)
            if new != text:
                path.write_bytes(new)


def stopped_gateway(peer, rounds):
    """`status --timeout`, and `run --replace --force`, of a stopped holder: seconds, and what they may take."""
    timeout, found = 0.5, []
    for full in (False, True):
        status, forced, bare = [], [], []
        for _ in range(rounds):
            with Place() as place:
                os.kill(place.start(peer), signal.SIGSTOP)
                if full:
                    place.fill_backlog(place.fill(peer.socket))
                status.append(place.attempt(peer, [*peer.status, "--timeout", f"{timeout * 1000:.0f}ms"])[1])
                takeover = [*peer.first, "--replace", "--force", "--grace", f"{GRACE:.0f}s", "--", "true"]
                forced.append(place.attempt(peer, takeover)[1])
            bare.append(after_death(peer, peer.holder, "killed", LIMIT)["s"])
        words = "stopped, queue full" if full else "stopped"
        kill = statistics.median(bare)  # a start after a `kill -9`
        found += [(f"{words}: status ÷ its timeout of {timeout} s", statistics.median(status) / timeout, 1.1),
                  (f"{words}: run --replace --force ÷ (its grace of {GRACE:.0f} s + a start after kill -9)",
                   statistics.median(forced) / (GRACE + kill), 1.1)]
    return found

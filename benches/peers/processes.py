"""Processes that end with this one: the directory of a measurement, holders and attempts in it, and the broom.

Daemons leave their parent, so this process is the reaper of all its descendants (PR_SET_CHILD_SUBREAPER): whatever was
started, however it forked away, is found below it, killed, and waited for. Nothing else on the machine is touched.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

LIMIT = 8.0  # seconds after which an attempt counts as hanging
PR_SET_CHILD_SUBREAPER = 36

ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(of=None):
    """All processes below this one."""
    found, look = [], [of or os.getpid()]
    while look:
        pid = look.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                children = [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
                found += children
                look += children
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def sweep():
    """Kills and reaps all that was started; again, as long as something forks."""
    for _ in range(100):
        below = descendants()
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while True:
                os.waitpid(-1, 0 if below else os.WNOHANG)
        except ChildProcessError:
            return


class Place:
    """A directory of its own for one measurement; at its end everything in it is killed and deleted."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="peers-"))
        self.sockets, self.children = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()
        sweep()
        shutil.rmtree(self.dir, ignore_errors=True)
        flat = "".join(c if c.isalnum() else "-" for c in str(self.dir))
        for left in Path("/tmp").glob(f"peers-{flat}*.sock"):  # app-single-instance puts them there
            left.unlink(missing_ok=True)

    def fill(self, value):
        """The text or the list with this place in it."""
        if isinstance(value, str):
            return value.replace("{d}", str(self.dir))
        return [self.fill(each) for each in value]

    def env(self, peer):
        return os.environ | {key: self.fill(value) for key, value in peer.env.items()}

    def stranger(self):
        """The pid of a process that has nothing to do with anything."""
        self.children.append(subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        return self.children[-1].pid

    def start(self, peer, argv=None, limit=60):
        """Starts a holder, and waits until it holds. Returns its pid; raises TimeoutError or OSError."""
        for name, text in peer.files.items():
            path = self.dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.fill(text))
        out = self.dir / "out"
        with out.open("w") as log:
            child = subprocess.Popen(self.fill(argv or peer.holder), env=self.env(peer), stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, start_new_session=True)
        self.children.append(child)  # or its zombie would be reaped by the next one's start
        deadline = time.monotonic() + limit
        while not self.is_ready(peer, out, child.pid):
            if time.monotonic() > deadline or (child.poll() not in (None, 0)):
                what = "does not hold" if child.returncode is None else f"ended with {child.returncode}"
                raise TimeoutError(f"{peer.name} {what}: {out.read_text()[-300:].strip()}")
            time.sleep(0.01)
        return self.pid_of(peer, child)

    def wait_for_group(self, group):
        """Until nothing of the process group runs; zombies may be left."""
        def runs(pid):
            try:
                words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                return False
            return words[0] not in "ZX" and int(words[2]) == group

        while any(runs(pid) for pid in descendants()):
            time.sleep(0.001)

    def is_ready(self, peer, out, pid):
        how, what = peer.ready
        if how == "line":
            return self.fill(what) in out.read_text()
        if how == "pid":
            path = Path(self.fill(what))
            return path.exists() and str(pid) in path.read_text()
        return self.attempt(peer, what)[0] == 0

    def pid_of(self, peer, child):
        if peer.pid is None:
            return child.pid
        if isinstance(peer.pid, str):
            return int(Path(self.fill(peer.pid)).read_text().split()[0])
        for _ in range(20):
            said = subprocess.run(self.fill(peer.pid), env=self.env(peer), capture_output=True, text=True, timeout=LIMIT)
            if numbers := [int(word) for word in said.stdout.split() if word.isdigit()]:
                return numbers[0]
            time.sleep(0.1)
        raise TimeoutError(f"{peer.name} does not say its pid: {said.stdout}{said.stderr}".strip())

    def attempt(self, peer, argv, limit=LIMIT):
        """Runs it to its end. Returns its code, or None when it hangs, and the seconds that it took."""
        begun = time.monotonic()
        child = subprocess.Popen(self.fill(argv), env=self.env(peer), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            return child.wait(limit), time.monotonic() - begun
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return None, time.monotonic() - begun

    def fill_backlog(self, path):
        """Connects until the queue is full; the connections stay open until the end."""
        for _ in range(10_000):
            each = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            each.setblocking(False)
            self.sockets.append(each)
            try:
                each.connect(path)
            except BlockingIOError:
                return len(self.sockets) - 1
        return None

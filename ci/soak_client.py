"""A client that never leaves an instance alone, as `ci/soak.py` has one for each.

It pings on a connection that it keeps, watches, asks, sends, tries to run a second one, and connects and goes away in the
middle. Every answer must be the right one; what was not is kept, to be told at the end.
"""

import collections
import os
import random
import socket
import struct
import subprocess
import threading
import time

PING, STATUS, PONG = 1, 4, 129
PATIENCE = 30  # seconds that an answer may take on a busy machine before it counts as none
PAUSE = 0.5  # seconds between two things that it does
# Which share of them is what, besides the ping that each begins with.
DEEDS = [("go_away", 0.30), ("status", 0.06), ("send", 0.05), ("run_another", 0.02), ("watch", 0.01)]


def frame(kind, body=b""):
    return struct.pack("<4sHBBI", b"INCB", 1, kind, 0, len(body)) + body


def read(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the holder closed the connection")
        data += piece
    return data


class Client(threading.Thread):
    """`gateway` is the command with the instance's name and directory; `takes` whether its holder takes messages."""

    def __init__(self, number, gateway, environment, sock, takes):
        super().__init__(name=f"client {number}")
        self.random = random.Random(number)
        self.gateway, self.environment, self.sock, self.takes = gateway, environment, sock, takes
        self.done = collections.Counter()
        self.wrong = []
        self.between = threading.Lock()  # held while it does something; whoever has it sees it at rest
        self.over = threading.Event()
        self.kept = self.watcher = None

    def run(self):
        self.over.wait(self.random.random() * PAUSE)
        while not self.over.is_set():
            with self.between:
                self.attempt("ping")
                at = self.random.random()
                for deed, share in DEEDS:
                    if at < share:
                        self.attempt(deed)
                        break
                    at -= share
            self.over.wait(PAUSE)

    def attempt(self, deed):
        try:
            getattr(self, deed)()
            self.done[deed] += 1
        except (OSError, AssertionError, subprocess.SubprocessError) as error:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {self.name}: {deed}: {error!r}")
            if deed == "ping" and self.kept:
                self.kept.close()
                self.kept = None

    def settle(self):
        """What it keeps for the whole time is there from the beginning."""
        self.attempt("ping")
        self.attempt("watch")

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self.sock)
        return connection

    def ping(self):
        self.kept = self.kept or self.connect()
        nonce = os.urandom(16)
        self.kept.sendall(frame(PING, nonce))
        _, _, kind, _, length = struct.unpack("<4sHBBI", read(self.kept, 12))
        body = read(self.kept, length)
        assert kind == PONG and body[:16] == nonce, f"kind {kind}: {body[:16]!r}"

    def go_away(self):
        """After nothing, in the middle of a frame, or before the answer is read."""
        whole = frame(STATUS) + frame(PING, os.urandom(16))
        with self.connect() as connection:
            connection.sendall(whole[: self.random.randrange(len(whole) + 1)])

    def command(self, *args):
        ended = subprocess.run(
            [*self.gateway, *args],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def expect(self, code, *args):
        told = self.command(*args)
        assert told[0] == code, f"{args} ended with {told}"
        return told[1]

    def status(self):
        assert '"state":"ready"' in self.expect(0, "status", "--json")

    def send(self):
        self.expect(0 if self.takes else 69, "send", "--", "--open", "x" * self.random.randrange(2000))

    def run_another(self):
        self.expect(75, "run", "--", "true")

    def watch(self):
        """The one watcher leaves, and another comes."""
        self.leave()
        self.watcher = subprocess.Popen(
            [*self.gateway, "status", "--watch", "--json"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert b'"schema"' in self.watcher.stdout.readline(), "nothing to watch"
        # What it says from now on is read by nobody but the pipe; it says little.

    def leave(self):
        if self.watcher:
            self.watcher.kill()
            self.watcher.wait()
            self.watcher.stdout.close()
            self.watcher = None

    def end(self):
        self.over.set()
        self.join()
        self.leave()
        if self.kept:
            self.kept.close()

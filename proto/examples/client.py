#!/usr/bin/env python3
"""A client of the protocol, written from PROTOCOL.md: ping, identify, status and stop.

The reference for other languages: one file, nothing but Python's standard library, Unix sockets (Linux, macOS, FreeBSD).
Exit codes are those of `gateway`: 0 answered, stopped, or nobody to be stopped; 3 nobody; 4 it cannot be told (for `stop`:
75); 64 usage; 75 still there, busy or refused; 77 not allowed.
"""

import argparse, fcntl, json, os, secrets, socket, struct, sys, time
from datetime import datetime, timezone
from functools import partialmethod

HEADER, MAGIC, VERSION, MAX_BODY, MAX_LIST = struct.Struct("<4sHBBI"), b"INCB", 1, 1 << 20, 1 << 15
PING, IDENTIFY, STOP, STATUS = 1, 2, 3, 4
PONG, IDENTITY, STOPPING, STATUS_IS, PROGRESS, REFUSED, UNSUPPORTED = 129, 130, 131, 132, 134, 254, 255
WHY = ["other", "not allowed", "the program takes no messages", "the holder is stopping", "malformed", "too busy"]
LINUX = sys.platform == "linux"


class Failed(Exception):
    """An exit code, and what is said on stderr."""


# --- How fields are written ---


class Fields:
    """Reads a body field by field; what is left at the end belongs to a newer version. Any error is a ValueError."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, count):
        if count > len(self.body) - self.at:
            raise ValueError("it ends too early")
        self.at += count
        return self.body[self.at - count:self.at]

    def number(self, format):
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    u8, u16, u32 = partialmethod(number, "<B"), partialmethod(number, "<H"), partialmethod(number, "<I")
    u64, i64, f64 = partialmethod(number, "<Q"), partialmethod(number, "<q"), partialmethod(number, "<d")
    id = partialmethod(take, 16)

    def bytes(self):
        return self.take(self.u64())

    def text(self):
        return self.bytes().decode()

    def list(self):
        if (count := self.u64()) > MAX_LIST:
            raise ValueError("a list is too long")
        return [self.bytes().decode(errors="replace") for _ in range(count)]

    def option(self, read):
        if (present := self.u8()) > 1:
            raise ValueError("an option is neither absent nor present")
        return read() if present else None


# --- The connection ---


def remaining(deadline):
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def endpoint(place):
    """NAME.sock, or what the record says where that path is too long for an address."""
    plain = os.path.join(place.dir, place.name + ".sock")
    if len(os.fsencode(plain)) < (108 if LINUX else 104):
        return plain
    with open(os.path.join(place.dir, place.name + ".json"), encoding="utf-8") as record:
        return os.path.join(place.dir, json.load(record)["endpoint"])


def peer_uid(connection):
    """Whom the kernel names as the other side's user."""
    if LINUX:
        return struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    return struct.unpack_from("II", connection.getsockopt(0, 1, 76))[1]  # LOCAL_PEERCRED gives a struct xucred


class Connection:
    def __init__(self, place, deadline):
        path, self.deadline = endpoint(place), deadline
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.connect(path)
                break
            except BlockingIOError:  # its queue is full, so that somebody lives
                time.sleep(min(0.02, remaining(deadline)))
        if (uid := peer_uid(self.socket)) not in (0, os.stat(place.dir).st_uid):
            raise Failed(77, f"the socket {path} is of user {uid}, and not the holder's")

    def send(self, kind, body=b""):
        self.socket.settimeout(remaining(self.deadline))
        try:
            self.socket.sendall(HEADER.pack(MAGIC, VERSION, kind, 0, len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what it said before it closed is still there to be read

    def read(self, count, at_end=None):
        """So many bytes; `at_end` when the connection has ended before the first of them."""
        read = b""
        while len(read) < count:
            self.socket.settimeout(remaining(self.deadline))
            try:
                piece = self.socket.recv(count - len(read))
            except ConnectionResetError:
                piece = b""
            if not piece and not read and at_end is not None:
                return at_end
            if not piece:
                raise ValueError("it ends in the middle")
            read += piece
        return read

    def reply(self, wanted):
        """The fields of the next reply; none at the end of the connection."""
        if not (header := self.read(HEADER.size, at_end=b"")):
            return None
        magic, version, kind, _, length = HEADER.unpack(header)
        if magic != MAGIC or length > MAX_BODY:
            raise ValueError("it is none of this protocol")
        fields = Fields(self.read(length))
        if kind == UNSUPPORTED:
            raise Failed(4, f"the holder speaks versions {fields.u16()} to {fields.u16()} only")
        if kind == REFUSED:
            why, note = fields.u8(), fields.text()
            raise Failed(77 if why == 1 else 75, f"refused: {WHY[why if why < len(WHY) else 0]}: {note}")
        # All but this one have the same layout in every version.
        if kind != wanted or (kind == STATUS_IS and version != VERSION):
            raise ValueError(f"kind {kind} in version {version} was not asked for")
        return fields

    def ask(self, kind, answered_by, body=b""):
        self.send(kind, body)
        if (fields := self.reply(answered_by)) is None:
            raise Failed(4, "the connection was closed without an answer")
        return fields


# --- The messages ---


def ping(place, connection):
    """What the pong says, which proves that the holder lives, if it is about this instance."""
    nonce, began = secrets.token_bytes(16), time.monotonic()
    pong = connection.ask(PING, PONG, nonce)
    took = time.monotonic() - began
    if pong.id() != nonce:
        raise ValueError("it is not the answer to our ping")
    instance_id, name, directory = pong.id().hex(), pong.text(), pong.option(lambda: (pong.u64(), pong.u64()))
    here = os.stat(place.dir)
    if name != place.name or directory != (here.st_dev, here.st_ino):
        raise Failed(4, f"the one who answers holds {name}, and not here")
    return {"instance_id": instance_id, "name": name, "answered_us": round(took * 1e6)}


def time_of(us):
    """As RFC 3339, to the millisecond."""
    whole = datetime.fromtimestamp(us // 1_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{us % 1_000_000 // 1000:03}Z"


def identify(connection):
    it = connection.ask(IDENTIFY, IDENTITY)
    said = {"pid": it.u32(), "instance_id": it.id().hex(), "version": it.text(), "min_protocol": it.u16()}
    return said | {"max_protocol": it.u16(), "name": it.text(), "generation": it.u64(), "started_at": time_of(it.i64())}


def status(connection):
    it = connection.ask(STATUS, STATUS_IS)
    if (phase := it.u32()) > 2:
        raise ValueError(f"there is no phase {phase}")
    holder = {"pid": it.u32(), "instance_id": it.id().hex(), "generation": it.u64(), "started_at": time_of(it.i64())}
    holder |= {"uptime_s": it.u64() / 1e6, "version": it.text(), "command": it.list(), "note": it.option(it.text)}
    holder |= {"busy": it.option(it.u64), "supervisor": it.option(it.text), "rss_bytes": it.option(it.u64)}
    holder |= {"cpu_percent": it.option(it.f64), "lag_us": it.option(it.u64)}
    holder["child"] = it.option(lambda: {"pid": it.u32(), "command": it.list()})
    return {"state": ("starting", "ready", "draining")[phase], "holder": holder, "problem": it.option(it.text)}


def stop(place, args):
    """Asks it to stop, says how that goes, and waits until it does not hold any more."""
    connection, pong = hail(place, args.timeout)
    reason, grace = ["end", "replace", "replace-anyway"].index(args.reason), (1 << 64) - 1  # the holder's choice
    if args.grace is not None:
        grace = round(args.grace * 1000)
    command = " ".join(sys.argv).encode(errors="replace")
    it = connection.ask(STOP, STOPPING, struct.pack("<B?QIQ", reason, args.if_idle, grace, os.getpid(), len(command)) + command)
    outcome, left, busy, note = it.u8(), it.u64(), it.u64(), it.text()
    if outcome != 0:
        raise Failed(75, f"it is busy and goes on: {busy} in flight" if outcome == 1 else f"refused: {note}")
    began = time.monotonic()
    try:
        while it:
            # What it has, and a moment for the end itself; it may ask for more.
            connection.deadline = max(connection.deadline, time.monotonic() + min(left, 1 << 40) / 1000 + 2)
            if it := connection.reply(PROGRESS):
                phase, left, busy, note = it.u8(), it.u64(), it.option(it.u64), it.text()
                phase = {0: "starting", 1: "ready", 3: "gone"}.get(phase, "draining")
                tell(args, {"phase": phase, "remaining_ms": left, "busy": busy, "note": note})
        while not has_gone(place, pong["instance_id"]):
            time.sleep(min(0.01, remaining(connection.deadline)))
    except TimeoutError:
        raise Failed(75, f"{place.name} was asked to stop and still holds") from None
    return {"stopped": pong["instance_id"], "took_s": round(time.monotonic() - began, 3)}


# --- Is the place free? ---


def owner_of_lock(place):
    """The process that has the instance lock, 0 if it has no number here, none if the lock is free. Takes nothing."""
    flock, start, write = ("hhqqi4x" if LINUX else "qqihh"), 1 << 30, fcntl.F_WRLCK
    asked = struct.pack(flock, *((write, 0, start, 1, 0) if LINUX else (start, 1, 0, write, 0)))
    try:
        file = os.open(os.path.join(place.dir, place.name + ".pid"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        told = struct.unpack(flock, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    finally:
        os.close(file)
    type, pid = (told[0], told[4]) if LINUX else (told[3], told[2])
    return None if type == fcntl.F_UNLCK else max(pid, 0)


def hail(place, timeout):
    """A connection to the holder of this instance, proven by a pong; without one, whether there can be one."""
    try:
        connection = Connection(place, time.monotonic() + timeout)
        return connection, ping(place, connection)
    except TimeoutError:
        raise Failed(4, "no answer in time: it cannot be told whether the holder lives") from None
    except (FileNotFoundError, ConnectionRefusedError):
        if (owner := owner_of_lock(place)) is not None:
            raise Failed(4, f"nobody listens, but pid {owner} has the lock: it starts, or its socket was deleted") from None
        raise Failed(0 if place.command == "stop" else 3, f"{place.name} is not running") from None


def has_gone(place, instance_id):
    """The lock is free, or another answers."""
    try:
        return owner_of_lock(place) is None or hail(place, 0.1)[1]["instance_id"] != instance_id
    except (Failed, OSError, ValueError):
        return False


# --- The command line ---


def tell(args, said):
    """One object, for programs; or lines for people, whose terminal nothing from elsewhere may move."""
    if args.json:
        print(json.dumps(said), flush=True)
    else:
        lines = "\n".join(f"{key:<13} {safe(str(value))}" for key, value in said.items() if key != "holder")
        print(lines, flush=True)


def safe(text):
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def run(args):
    if args.command == "stop":
        return stop(args, args)
    connection, said = hail(args, args.timeout)
    if args.command == "identify":
        return identify(connection)
    if args.command == "status":
        said = {"name": args.name, "dir": args.dir} | status(connection) | {"answered_us": said["answered_us"]}
    return said if args.json else said | said.get("holder", {})


def arguments():
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default=os.environ.get("GATEWAY_NAME", "gateway"))
    parser.add_argument("--dir", default=os.environ.get("GATEWAY_DIR", os.path.join(state, "gateway")))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--timeout", type=float, default=2, metavar="S", help="for the answer, in seconds (2)")
    commands = parser.add_subparsers(dest="command", required=True)
    asked = [commands.add_parser(name) for name in ("ping", "identify", "status", "stop")]
    asked[-1].add_argument("--grace", type=float, metavar="S", help="the time that it gets, in seconds")
    asked[-1].add_argument("--reason", choices=["end", "replace", "replace-anyway"], default="end")
    asked[-1].add_argument("--if-idle", action="store_true", help="only if no work is in flight")
    for each in [parser, *asked]:
        each.exit_on_error, each.error = True, lambda words: (print(words, file=sys.stderr), sys.exit(64))
    args = parser.parse_args()
    args.dir = os.path.realpath(args.dir)
    return args


def main():
    args = arguments()
    try:
        tell(args, run(args))
        return 0
    except Failed as failed:
        code, words = failed.args
    except PermissionError as error:
        code, words = 77, f"{error.filename or args.dir}: not allowed"
    except TimeoutError:
        code, words = 4, "no answer in time: it cannot be told whether the holder lives"
    except (ValueError, KeyError, TypeError) as error:
        code, words = 4, f"what answers, or its record, cannot be read: {error}"
    except OSError as error:
        code, words = 4, f"the holder cannot be reached: {error}"
    print(safe(words), file=sys.stderr)
    return 75 if code == 4 and args.command == "stop" else code


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""A client of the protocol, written from PROTOCOL.md alone: ping, identify, status and stop.

The reference for other languages: one file, nothing but Python's standard library, Unix sockets (Linux, macOS, FreeBSD).
Each part says which section of the page it follows. Exit codes are those of `gateway`: 0 answered or stopped, 3 nobody,
4 it cannot be told, 64 usage, 75 still there, busy or refused, 77 not allowed.
"""

import argparse, fcntl, json, os, secrets, select, socket, stat, struct, sys, time
from datetime import datetime, timezone

MAGIC, VERSION, HEADER, MAX_BODY, MAX_LIST = b"INCB", 1, struct.Struct("<4sHBBI"), 1 << 20, 1 << 15
PING, IDENTIFY, STOP, STATUS = 1, 2, 3, 4
PONG, IDENTITY, STOPPING, STATUS_IS, PROGRESS, REFUSED, UNSUPPORTED = 129, 130, 131, 132, 134, 254, 255
FROZEN = {PONG, IDENTITY, STOPPING, PROGRESS, REFUSED, UNSUPPORTED}
HOLDERS_GRACE = (1 << 64) - 1
WHY = ["other", "not allowed", "the program takes no messages", "the holder is stopping", "malformed", "too busy"]
LINUX = sys.platform == "linux"


class Failed(Exception):
    """What is said on stderr, and the exit code."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


class Nobody(Failed):
    """Nobody listens; whether nobody holds is for the lock to say."""


# --- How fields are written ---


class Fields:
    """Reads a body field by field; what is left at the end belongs to a newer version."""

    def __init__(self, body):
        self.rest = memoryview(body)

    def take(self, count):
        if count > len(self.rest):
            raise Failed(4, "the holder's answer ends too early")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return bytes(taken)

    def number(self, format):
        return struct.unpack("<" + format, self.take(struct.calcsize("<" + format)))[0]

    def u8(self): return self.number("B")
    def u16(self): return self.number("H")
    def u32(self): return self.number("I")
    def u64(self): return self.number("Q")
    def i64(self): return self.number("q")
    def f64(self): return self.number("d")
    def id(self): return self.take(16)
    def bytes(self): return self.take(self.u64())

    def text(self):
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise Failed(4, "the holder's answer has text that is not UTF-8") from None

    def list(self):
        count = self.u64()
        if count > MAX_LIST:
            raise Failed(4, "the holder's answer has a list that is too long")
        return [self.bytes().decode(errors="replace") for _ in range(count)]

    def option(self, read):
        present = self.u8()
        if present > 1:
            raise Failed(4, "the holder's answer has an option that is neither absent nor present")
        return read() if present else None

    def one_of(self, values):
        number = self.u32()
        if number >= len(values):
            raise Failed(4, "the holder's answer has a value out of its range")
        return values[number]


# --- The connection ---


def remaining(deadline):
    left = deadline - time.monotonic()
    if left <= 0:
        raise Failed(4, "no answer in time: it cannot be told whether the holder lives")
    return left


def endpoint(place):
    """Where to connect: NAME.sock, or what the record says where that path is too long for an address."""
    plain = os.path.join(place.dir, place.name + ".sock")
    if len(os.fsencode(plain)) < (108 if LINUX else 104):
        return plain
    try:
        with open(os.path.join(place.dir, place.name + ".json"), encoding="utf-8") as record:
            return json.load(record)["endpoint"]
    except FileNotFoundError:
        raise Nobody(3, "nobody has ever held it here") from None
    except PermissionError as error:
        raise Failed(77, f"{error.filename}: not allowed") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(4, f"the record does not say where to connect: {error}") from None


def peer_uid(connection):
    """Who may speak: whom the kernel names as the socket's owner."""
    if LINUX:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("iII", credentials)[1]
    credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED: a struct xucred
    return struct.unpack_from("II", credentials)[1]


class Connection:
    def __init__(self, place, deadline):
        path, self.deadline = endpoint(place), deadline
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                raise Nobody(3, "nobody listens") from None
            except BlockingIOError:  # its queue is full, so that somebody lives
                time.sleep(min(0.02, remaining(deadline)))
            except PermissionError:
                raise Failed(77, f"{path}: not allowed") from None
            except (OSError, TypeError) as error:
                raise Failed(4, f"cannot connect to {path}: {error}") from None
        uid = peer_uid(self.socket)
        if uid not in (0, os.stat(place.dir).st_uid):
            raise Failed(77, f"the socket {path} is of user {uid}, and not the holder's")

    def wait(self, event):
        poll = select.poll()
        poll.register(self.socket, event)
        if not poll.poll(remaining(self.deadline) * 1000):
            remaining(self.deadline)

    def send(self, kind, body=b""):
        rest = HEADER.pack(MAGIC, VERSION, kind, 0, len(body)) + body
        while rest:
            try:
                rest = rest[self.socket.send(rest):]
            except BlockingIOError:
                self.wait(select.POLLOUT)
            except OSError:
                return  # it has closed; what it said before is still there to read

    def read(self, count):
        """So many bytes, or fewer at the end of the connection."""
        read = b""
        while len(read) < count:
            try:
                piece = self.socket.recv(count - len(read))
            except BlockingIOError:
                self.wait(select.POLLIN)
                continue
            except ConnectionResetError:
                piece = b""
            if not piece:
                break
            read += piece
        return read

    def reply(self, *kinds):
        """The next reply, its kind and fields; none at the end of the connection."""
        header = self.read(HEADER.size)
        if not header:
            return None, None
        if len(header) < HEADER.size:
            raise Failed(4, "the connection ended in the middle of an answer")
        magic, version, kind, _, length = HEADER.unpack(header)
        if magic != MAGIC or length > MAX_BODY:
            raise Failed(4, "what listens does not speak this protocol")
        body = self.read(length)
        if len(body) < length:
            raise Failed(4, "the connection ended in the middle of an answer")
        fields = Fields(body)
        if kind == UNSUPPORTED:
            raise Failed(4, f"the holder speaks versions {fields.u16()} to {fields.u16()} only")
        if kind == REFUSED:
            why, note = fields.u8(), fields.text()
            raise Failed(77 if why == 1 else 75, f"refused: {WHY[why] if why < len(WHY) else WHY[0]}: {note}")
        if kind not in kinds or (version != VERSION and kind not in FROZEN):
            raise Failed(4, f"an answer of kind {kind} in version {version}, which was not asked for")
        return kind, fields

    def ask(self, kind, answered_by, body=b""):
        self.send(kind, body)
        fields = self.reply(answered_by)[1]
        if fields is None:
            raise Failed(4, "the connection was closed without an answer")
        return fields


# --- The messages ---


def ping(place, connection):
    """The pong, which proves that the holder lives, if it is about this instance; and how long it took."""
    nonce, began = secrets.token_bytes(16), time.monotonic()
    pong = connection.ask(PING, PONG, nonce)
    took = time.monotonic() - began
    if pong.id() != nonce:
        raise Failed(4, "the pong is not the answer to our ping")
    instance_id, name, directory = pong.id().hex(), pong.text(), pong.option(lambda: (pong.u64(), pong.u64()))
    here = os.stat(place.dir)
    if name != place.name or directory != (here.st_dev, here.st_ino):
        raise Failed(4, f"the one who answers holds {name!r}, and not here")
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
    state = it.one_of(["starting", "ready", "draining"])
    holder = {"pid": it.u32(), "instance_id": it.id().hex(), "generation": it.u64(), "started_at": time_of(it.i64())}
    holder |= {"uptime_s": it.u64() / 1e6, "version": it.text(), "command": it.list(), "note": it.option(it.text)}
    holder |= {"busy": it.option(it.u64), "supervisor": it.option(it.text), "rss_bytes": it.option(it.u64)}
    holder |= {"cpu_percent": it.option(it.f64), "lag_us": it.option(it.u64)}
    holder["child"] = it.option(lambda: {"pid": it.u32(), "command": it.list()})
    return {"state": state, "holder": holder, "problem": it.option(it.text)}


# --- Is the place free? ---


def owner_of_lock(place):
    """The process that has the instance lock, 0 if it has no number here, none if the lock is free. Takes nothing."""
    flock = "hhqqi4x" if LINUX else "qqihh"  # struct flock
    start, write, free = 1 << 30, fcntl.F_WRLCK, fcntl.F_UNLCK
    asked = (write, 0, start, 1, 0) if LINUX else (start, 1, 0, write, 0)
    path = os.path.join(place.dir, place.name + ".pid")
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            told = struct.unpack(flock, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(flock, *asked)))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Failed(77, f"{path}: not allowed") from None
    except OSError as error:
        raise Failed(4, f"{path}: the lock cannot be looked at: {error}") from None
    type, pid = (told[0], told[4]) if LINUX else (told[3], told[2])
    return None if type == free else max(pid, 0)


def hail(place, timeout):
    """A connection to the holder of this instance, proven by a pong; without one, whether there can be one."""
    try:
        connection = Connection(place, time.monotonic() + timeout)
        return connection, ping(place, connection)
    except Nobody as nobody:
        if (owner := owner_of_lock(place)) is not None:
            by = f"pid {owner}" if owner else "a process of another pid namespace"
            raise Failed(4, f"{nobody}, but {by} has the lock: it is starting, or its socket was deleted") from None
        raise Nobody(3, f"{place.name} is not running") from None


def stop(place, args):
    """Asks it to stop, says how that goes, and waits until it does not hold any more."""
    connection, pong = hail(place, args.timeout)
    reason = ["end", "replace", "replace-anyway"].index(args.reason)
    grace = HOLDERS_GRACE if args.grace is None else round(args.grace * 1000)
    command = " ".join(sys.argv).encode(errors="replace")
    body = struct.pack("<B?QIQ", reason, args.if_idle, grace, os.getpid(), len(command)) + command
    it = connection.ask(STOP, STOPPING, body)
    outcome, grace, busy, note = it.u8(), it.u64(), it.u64(), it.text()
    if outcome == 1:
        raise Failed(75, f"{place.name} is busy and goes on: {busy} in flight")
    if outcome != 0:
        raise Failed(75, f"refused: {note}")
    began = time.monotonic()

    def until(ms):  # what it has, and a moment for the end itself
        connection.deadline = max(connection.deadline, time.monotonic() + min(ms, 1 << 40) / 1000 + 2)

    until(grace)
    said = None
    try:
        while fields := connection.reply(PROGRESS)[1]:
            phase, left, busy, note = fields.u8(), fields.u64(), fields.option(fields.u64), fields.text()
            phase = {0: "starting", 1: "ready", 3: "gone"}.get(phase, "draining")
            until(left)
            if (phase, busy, note) != said:
                said = (phase, busy, note)
                tell(args, {"phase": phase, "remaining_ms": left, "busy": busy, "note": note},
                     f"{place.name} is stopping ({left / 1000:.0f} s left)" + (f": {note}" if note else ""))
        while not has_gone(place, pong["instance_id"]):
            time.sleep(min(0.01, remaining(connection.deadline)))
    except Failed as failed:
        raise Failed(failed.code if failed.code == 77 else 75, f"{place.name} was asked to stop and still holds: {failed}")
    took = time.monotonic() - began
    tell(args, {"stopped": pong["instance_id"], "took_s": round(took, 3)}, f"stopped {place.name} after {took:.3f} s")


def has_gone(place, instance_id):
    """The lock is free, or another has it."""
    if owner_of_lock(place) is None:
        return True
    try:
        return hail(place, 0.1)[1]["instance_id"] != instance_id
    except Failed:
        return False


# --- The command line ---


def safe(text):
    """Text from elsewhere must not move a cursor."""
    return "".join("\ufffd" if not c.isprintable() and c != " " else c for c in text)


def tell(args, said, words=None):
    if args.json:
        print(json.dumps(said), flush=True)
    elif words:
        print(safe(words), flush=True)
    else:
        for key, value in said.items():
            print(f"{key:<12}  {safe(str(value))}", flush=True)


def run(args):
    place = args
    if not stat.S_ISDIR(os.stat(place.dir).st_mode):
        raise Failed(73, f"{place.dir} is no directory")
    if args.command == "stop":
        return stop(place, args)
    connection, pong = hail(place, args.timeout)
    if args.command == "ping":
        tell(args, pong, f"{place.name} ({pong['instance_id']}) answered in {pong['answered_us']} µs")
    elif args.command == "identify":
        tell(args, identify(connection))
    else:
        it = status(connection)
        it = {"name": place.name, "dir": place.dir, **it, "answered_us": pong["answered_us"]}
        tell(args, it if args.json else {key: it[key] for key in ("state", "problem")} | it["holder"])


def main():
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default=os.environ.get("GATEWAY_NAME", "gateway"))
    parser.add_argument("--dir", default=os.environ.get("GATEWAY_DIR", os.path.join(state, "gateway")))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--timeout", type=float, default=2, metavar="S", help="for the answer, in seconds (2)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ping", "identify", "status"):
        commands.add_parser(name)
    asked = commands.add_parser("stop")
    asked.add_argument("--grace", type=float, metavar="S", help="the time that it gets, in seconds")
    asked.add_argument("--reason", choices=["end", "replace", "replace-anyway"], default="end")
    asked.add_argument("--if-idle", action="store_true", help="only if no work is in flight")
    parser.error = lambda words: (print(f"{parser.prog}: {words}", file=sys.stderr), sys.exit(64))
    asked.error = parser.error
    args = parser.parse_args()
    args.dir = os.path.realpath(args.dir)
    try:
        return run(args) or 0
    except Nobody as nobody:
        print(nobody, file=sys.stderr)
        return 0 if args.command == "stop" else nobody.code
    except FileNotFoundError:
        print(f"{args.name} is not running: there is no {args.dir}", file=sys.stderr)
        return 0 if args.command == "stop" else 3
    except PermissionError as error:
        print(safe(f"{error.filename}: not allowed"), file=sys.stderr)
        return 77
    except Failed as failed:
        print(safe(f"{parser.prog}: {failed}"), file=sys.stderr)
        return failed.code


if __name__ == "__main__":
    sys.exit(main())

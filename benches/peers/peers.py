"""Who is measured: what each needs, how it holds, how it is asked, and how a second one is tried. `{d}` is the place."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Peer:
    name: str
    needs: tuple = ()  # programs in the path
    package: str = ""  # Debian's, whose version is shown
    version: str = ""  # where no package has one
    holder: tuple = ()  # holds, in the foreground unless `pid` says where to find it
    ready: tuple = ("line", "holding")  # or ("ok", COMMAND), ("pid", A FILE THAT NAMES IT)
    pid: object = None  # a file with the pid, or a command that says it
    files: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    status: tuple = ()  # asks the living holder; 0 when it lives
    second: tuple = ()  # a second start that ends at once: 0 when it got it, else it was refused
    refused: int = 0  # the code of a refusal; 0: it is not refused with a code of its own
    first: tuple = ()  # becomes the holder, and ends
    fork: tuple = ()  # a holder with a forked child that executes nothing
    exec: tuple = ()  # a holder with a child that executes another program
    fork_free: str = ""  # why there is no such row
    pidfile: str = ""  # where a recycled pid would stand
    socket: str = ""  # whose backlog can be filled
    group: bool = False  # kill -9 means all of it: the wrapper and its command
    rare: int = 1  # measured every so many rounds
    restart: tuple = ()  # a start after a death, where `second` is none or stays
    note: str = ""


def crate(crates, name, version, **more):
    program = str(crates / name)
    return Peer(name.replace("_", "-"), needs=(program,), version=version, holder=(program, "hold", "{d}"),
                second=(program, "acquire", "{d}"), first=(program, "acquire", "{d}"), refused=75,
                fork=(program, "fork", "{d}"), exec=(program, "exec", "{d}"), **more)


SUPERVISOR = """[supervisord]
nodaemon=true
logfile={d}/supervisord.log
pidfile={d}/supervisord.pid
[unix_http_server]
file={d}/s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{d}/s
[program:sleep]
command=sleep 1000
startsecs=0
"""


def gateway(program):
    at = (program, "--dir", "{d}/i")
    return Peer("gateway", needs=(program,), version="this tree", holder=(*at, "run"), status=(*at, "status", "--json"),
                second=(*at, "run", "--", "true"), refused=75, first=(*at, "run"),
                exec=(*at, "run", "--grace", "1s", "--", "sleep", "1000"), fork_free="forks only to execute",
                pidfile="{d}/i/gateway.pid", socket="{d}/i/gateway.sock")


def all_peers(program, crates, hermes):
    """Every peer, in the order of the tables."""
    library = crate(crates, "incumbent", "this tree", pidfile="{d}/gateway.pid", socket="{d}/gateway.sock")
    library.name = "incumbent (library)"
    library.status = (program, "--dir", "{d}", "status", "--json")
    hermes = str(hermes)
    return [
        gateway(program),
        library,
        crate(crates, "fcntl", "libc 0.2"),
        crate(crates, "single_instance", "0.3.3"),
        crate(crates, "fd_lock", "4.0.4"),
        crate(crates, "named_lock", "0.4.1"),
        crate(crates, "fslock", "0.2.1"),
        crate(crates, "pidlock", "0.2.2", pidfile="{d}/lock.pid"),
        crate(crates, "app_single_instance", "0.1.0"),
        Peer("flock -n", ("flock",), "util-linux", holder=("flock", "-n", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000"),
             second=("flock", "-n", "{d}/l", "true"), first=("flock", "-n", "{d}/l", "true"), refused=1, group=True,
             exec=("flock", "-n", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000")),
        Peer("flock -n -o", ("flock",), "util-linux",
             holder=("flock", "-n", "-o", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000"),
             second=("flock", "-n", "-o", "{d}/l", "true"), first=("flock", "-n", "-o", "{d}/l", "true"), refused=1,
             group=True, exec=("flock", "-n", "-o", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000")),
        Peer("setlock -n", ("setlock",), "daemontools", holder=("setlock", "-n", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000"),
             second=("setlock", "-n", "{d}/l", "true"), first=("setlock", "-n", "{d}/l", "true"), refused=111,
             exec=("setlock", "-n", "{d}/l", "sh", "-c", "sleep 1000 & echo holding; exec sleep 1000")),
        Peer("lckdo", ("lckdo",), "moreutils", holder=("lckdo", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000"),
             second=("lckdo", "{d}/l", "true"), first=("lckdo", "{d}/l", "true"), refused=75, group=True,
             exec=("lckdo", "{d}/l", "sh", "-c", "echo holding; exec sleep 1000")),
        Peer("lockfile-create", ("lockfile-create",), "lockfile-progs",
             holder=("sh", "-c", "lockfile-create --retry 0 {d}/l && echo holding && exec sleep 1000"),
             second=("lockfile-create", "--retry", "0", "{d}/l"), refused=4),
        Peer("start-stop-daemon -p", ("start-stop-daemon",), "dpkg",
             holder=("start-stop-daemon", "--start", "--background", "--make-pidfile", "--pidfile", "{d}/p", "--startas", "/bin/sleep", "--", "1000"),
             ready=("ok", ("start-stop-daemon", "--status", "--pidfile", "{d}/p")), pid="{d}/p",
             status=("start-stop-daemon", "--status", "--pidfile", "{d}/p"), pidfile="{d}/p", refused=1,
             second=("start-stop-daemon", "--start", "--background", "--make-pidfile", "--pidfile", "{d}/p", "--startas", "/bin/sleep", "--", "1000"),
             note="pid file only"),
        Peer("tmux", ("tmux",), "tmux", holder=("tmux", "-S", "{d}/s", "-f", "/dev/null", "new-session", "-d", "-s", "main", "sleep 1000"),
             ready=("ok", ("tmux", "-S", "{d}/s", "has-session")), pid=("tmux", "-S", "{d}/s", "display", "-p", "#{pid}"),
             status=("tmux", "-S", "{d}/s", "has-session"), socket="{d}/s", refused=1,
             second=("tmux", "-S", "{d}/s", "-f", "/dev/null", "new-session", "-d", "-s", "main", "sleep 1000")),
        Peer("emacs --daemon", ("emacs", "emacsclient"), "emacs-nox", holder=("emacs", "-Q", "--fg-daemon=main"),
             env={"XDG_RUNTIME_DIR": "{d}", "HOME": "{d}"}, ready=("ok", ("emacsclient", "-s", "{d}/emacs/main", "--eval", "t")),
             status=("emacsclient", "-s", "{d}/emacs/main", "--eval", "t"), second=("emacs", "-Q", "--daemon=main"),
             refused=1, socket="{d}/emacs/main", rare=4),
        Peer("gpg-agent", ("gpg-agent", "gpg-connect-agent"), "gpg-agent", holder=("gpg-agent", "--daemon"),
             env={"GNUPGHOME": "{d}"}, ready=("ok", ("gpg-connect-agent", "--no-autostart", "/bye")),
             pid=("gpg-connect-agent", "--no-autostart", "getinfo pid", "/bye"), refused=2,
             status=("gpg-connect-agent", "--no-autostart", "/bye"), second=("gpg-agent", "--daemon"), socket="gpg"),
        Peer("redis", ("redis-server", "redis-cli"), "redis-server",
             holder=("redis-server", "--port", "0", "--unixsocket", "{d}/s", "--save", "", "--appendonly", "no", "--dir", "{d}"),
             ready=("ok", ("redis-cli", "-s", "{d}/s", "ping")), status=("redis-cli", "-s", "{d}/s", "ping"), socket="{d}/s",
             restart=("redis-server", "--port", "0", "--unixsocket", "{d}/s", "--save", "", "--appendonly", "no", "--dir", "{d}")),
        Peer("watchman", ("watchman",), "watchman", holder=("watchman", "-f", "-U", "{d}/s", "-o", "{d}/log", "--statefile", "{d}/state", "--pidfile", "{d}/p"),
             env={"HOME": "{d}", "TMPDIR": "{d}"}, ready=("ok", ("watchman", "-U", "{d}/s", "--no-spawn", "--no-local", "version")),
             status=("watchman", "-U", "{d}/s", "--no-spawn", "--no-local", "version"), socket="{d}/s", rare=2,
             restart=("watchman", "-f", "-U", "{d}/s", "-o", "{d}/log", "--statefile", "{d}/state", "--pidfile", "{d}/p")),
        Peer("supervisord", ("supervisord", "supervisorctl"), "supervisor", holder=("supervisord", "-c", "{d}/c"),
             files={"c": SUPERVISOR}, ready=("ok", ("supervisorctl", "-c", "{d}/c", "status")), socket="{d}/s",
             status=("supervisorctl", "-c", "{d}/c", "status"), restart=("supervisord", "-c", "{d}/c"), rare=10),
        Peer("hermes gateway", (hermes,), version="hermes-agent", holder=(hermes, "gateway", "run"),
             env={"HERMES_HOME": "{d}", "HOME": "{d}"}, ready=("pid", "{d}/gateway.pid"),
             status=(hermes, "gateway", "status"), pidfile="{d}/gateway.pid", restart=(hermes, "gateway", "run"), second=(hermes, "gateway", "run"), refused=1, rare=25),
    ]


def missing(peer, which):
    """What a peer needs and is not there."""
    return [each for each in peer.needs if not (Path(each).exists() or which(each))]

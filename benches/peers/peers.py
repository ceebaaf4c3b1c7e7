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
    pidfile: str = ""  # where a recycled pid would stand
    socket: str = ""  # whose backlog can be filled
    group: bool = False  # kill -9 means all of it: the wrapper and its command
    rare: int = 1  # measured every so many rounds
    restart: tuple = ()  # a start after a death, where `second` is none or stays


def crate(crates, name, version, **more):
    program = str(crates / name)
    return Peer(name.replace("_", "-"), needs=(program,), version=version, holder=(program, "hold", "{d}"),
                second=(program, "acquire", "{d}"), first=(program, "acquire", "{d}"), refused=75,
                fork=(program, "fork", "{d}"), exec=(program, "exec", "{d}"), **more)


SLEEP = "echo holding; exec sleep 1000"
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
                exec=(*at, "run", "--grace", "1s", "--", "sleep", "1000"),
                pidfile="{d}/i/gateway.pid", socket="{d}/i/gateway.sock")


def wrapper(name, package, argv, refused, exec, **more):
    """A program that runs a command under a lock."""
    lock = (*argv, "{d}/l")
    return Peer(name, argv[:1], package, holder=(*lock, "sh", "-c", SLEEP), exec=(*lock, "sh", "-c", exec),
                second=(*lock, "true"), first=(*lock, "true"), refused=refused, **more)


def start_stop_daemon():
    """With nothing but a pid file: given a program or a user as well, it compares these, too."""
    program = "start-stop-daemon"
    start = (program, "--start", "--background", "--make-pidfile", "--pidfile", "{d}/p", "--startas", "/bin/sleep", "--", "1000")
    status = (program, "--status", "--pidfile", "{d}/p")
    return Peer("start-stop-daemon -p", (program,), "dpkg", holder=start, second=start, refused=1, status=status,
                ready=("ok", status), pid="{d}/p", pidfile="{d}/p")


def servers():
    """Programs that answer at a socket."""
    tmux = ("tmux", "-S", "{d}/s")
    session = (*tmux, "-f", "/dev/null", "new-session", "-d", "-s", "main", "sleep 1000")
    emacs = ("emacsclient", "-s", "{d}/emacs/main", "--eval", "t")
    gpg = ("gpg-connect-agent", "--no-autostart")
    redis = ("redis-server", "--port", "0", "--unixsocket", "{d}/s", "--save", "", "--appendonly", "no", "--dir", "{d}")
    watchman = ("watchman", "-f", "-U", "{d}/s", "-o", "{d}/log", "--statefile", "{d}/state", "--pidfile", "{d}/p")
    version = ("watchman", "-U", "{d}/s", "--no-spawn", "--no-local", "version")
    supervisorctl = ("supervisorctl", "-c", "{d}/c", "status")
    return [
        Peer("tmux", ("tmux",), "tmux", holder=session, second=session, refused=1, status=(*tmux, "has-session"),
             ready=("ok", (*tmux, "has-session")), pid=(*tmux, "display", "-p", "#{pid}"), socket="{d}/s"),
        Peer("emacs --daemon", ("emacs", "emacsclient"), "emacs-nox", holder=("emacs", "-Q", "--fg-daemon=main"),
             second=("emacs", "-Q", "--daemon=main"), refused=1, status=emacs, ready=("ok", emacs), rare=4,
             socket="{d}/emacs/main", env={"XDG_RUNTIME_DIR": "{d}", "HOME": "{d}"}),
        Peer("gpg-agent", ("gpg-agent", "gpg-connect-agent"), "gpg-agent", holder=("gpg-agent", "--daemon"),
             second=("gpg-agent", "--daemon"), refused=2, status=(*gpg, "/bye"), ready=("ok", (*gpg, "/bye")),
             pid=(*gpg, "getinfo pid", "/bye"), socket="gpg", env={"GNUPGHOME": "{d}"}),
        Peer("redis", ("redis-server", "redis-cli"), "redis-server", holder=redis, restart=redis, socket="{d}/s",
             status=("redis-cli", "-s", "{d}/s", "ping"), ready=("ok", ("redis-cli", "-s", "{d}/s", "ping"))),
        Peer("watchman", ("watchman",), "watchman", holder=watchman, restart=watchman, status=version,
             ready=("ok", version), socket="{d}/s", rare=2, env={"HOME": "{d}", "TMPDIR": "{d}"}),
        Peer("supervisord", ("supervisord", "supervisorctl"), "supervisor", holder=("supervisord", "-c", "{d}/c"),
             restart=("supervisord", "-c", "{d}/c"), status=supervisorctl, ready=("ok", supervisorctl),
             socket="{d}/s", rare=10, files={"c": SUPERVISOR}),
    ]


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
        # flock and lckdo stay above the command: `kill -9` is of both, and with an exec'd child alive of the wrapper alone.
        wrapper("flock -n", "util-linux", ("flock", "-n"), 1, exec=SLEEP, group=True),
        wrapper("flock -n -o", "util-linux", ("flock", "-n", "-o"), 1, exec=SLEEP, group=True),
        wrapper("setlock -n", "daemontools", ("setlock", "-n"), 111, exec="sleep 1000 & " + SLEEP),
        wrapper("lckdo", "moreutils", ("lckdo",), 75, exec=SLEEP, group=True),
        Peer("lockfile-create", ("lockfile-create",), "lockfile-progs", refused=4,
             holder=("sh", "-c", f"lockfile-create --retry 0 {{d}}/l && {SLEEP}"),
             second=("lockfile-create", "--retry", "0", "{d}/l")),
        start_stop_daemon(),
        *servers(),
        Peer("hermes gateway", (hermes,), version="hermes-agent", holder=(hermes, "gateway", "run"),
             env={"HERMES_HOME": "{d}", "HOME": "{d}"}, ready=("pid", "{d}/gateway.pid"), refused=1, rare=25,
             status=(hermes, "gateway", "status"), second=(hermes, "gateway", "run"),
             restart=(hermes, "gateway", "run"), pidfile="{d}/gateway.pid"),
    ]


def missing(peer, which):
    """What a peer needs and is not there."""
    return [each for each in peer.needs if not (Path(each).exists() or which(each))]

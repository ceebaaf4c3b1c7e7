"""Builds what is ours, installs what package registries have, and says what is missing. No service is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEBIAN = ["util-linux", "dpkg", "tmux", "emacs-nox", "gpg-agent", "gpgconf", "redis-server", "redis-tools", "watchman",
          "supervisor", "daemontools", "moreutils", "lockfile-progs"]
HERMES = "hermes-agent==0.19.0"


LEFT_OUT = []


def say(text):
    print(text, file=sys.stderr, flush=True)
    if text.startswith("left out: "):
        LEFT_OUT.append(text)


def build():
    """Floors, stopwatch and crates; returns the directory of the programs."""
    say("building the floors and the crates")
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=HERE, check=True)
    return HERE / "target" / "release"


def gateway(given):
    if given:
        return str(Path(given).resolve())
    say("building gateway")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--bin", "gateway"], cwd=ROOT, check=True)
    return str(ROOT / "target" / "release" / "gateway")


def static_gateway():
    """The same, linked statically, as a packager may build it; where that fails it is left out."""
    say("building gateway once more, linked statically")
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in version.splitlines() if line.startswith("host:"))
    target = HERE / "target" / "static"
    built = subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--bin", "gateway", "--target", host, "--target-dir", target],
                           cwd=ROOT, env=os.environ | {"RUSTFLAGS": "-C target-feature=+crt-static"}, stderr=subprocess.DEVNULL)
    if built.returncode:
        say("left out: gateway, linked statically: it cannot be linked here")
        return None
    return str(target / host / "release" / "gateway")


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("PEERS_CACHE") or f"{base}/incumbent-peers")


def hermes():
    return cache() / "hermes" / "bin" / "hermes"


def peers():
    """Installs what is not there. A failure is said, and the rest goes on."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        absent = [name for name in DEBIAN if not installed(name)]
        # RUNLEVEL=1: invoke-rc.d starts nothing then. One by one where all at once fails.
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
        quiet = {"env": env, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if absent:
            say(f"installing {' '.join(absent)}")
        if absent and subprocess.run([*install, *absent], **quiet).returncode:
            subprocess.run(["apt-get", "update", "-q"], **quiet)
            for name in absent:
                if subprocess.run([*install, name], **quiet).returncode:
                    say(f"left out: {name} cannot be installed")
    else:
        say("left out: Debian's packages are installed by root on Debian only; those that are there are used")
    if not hermes().exists():
        say(f"installing {HERMES} into {hermes().parents[1]}")
        try:
            subprocess.run([sys.executable, "-m", "venv", hermes().parents[1]], check=True)
            subprocess.run([hermes().with_name("pip"), "install", "--quiet", HERMES], check=True)
        except (subprocess.CalledProcessError, OSError) as error:
            say(f"left out: {HERMES}: {error}")


def installed(name):
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", name], capture_output=True, text=True)
    return said.stdout.endswith(" installed")


def version(peer):
    """What is measured, in its own words or the package's."""
    if peer.version == "hermes-agent":
        said = subprocess.run([hermes().with_name("pip"), "list", "--format=freeze"], capture_output=True, text=True)
        return next((line.split("==")[1] for line in said.stdout.split("\n") if line.startswith("hermes-agent==")), "?")
    if peer.version or not shutil.which("dpkg-query"):
        return peer.version
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", peer.package], capture_output=True, text=True)
    return said.stdout.split("-")[0].split(":")[-1].split("+")[0]

#!/usr/bin/env bash
# Counts the instructions of what happens inside one process (benches/counts), and holds them against
# benches/counts/baseline.json: prints each with its change, and fails when one has grown by a tenth.
# `ci/counts.sh --accept` writes the file anew.
#
# It judges only where the same compiler, C library, valgrind and kind of processor count as for the file; elsewhere it
# prints the changes, and says so. It needs valgrind, which it installs as root on Debian, and gungraun-runner, which it
# builds once, into ${XDG_CACHE_HOME:-~/.cache}/incumbent-ci.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-}
case $what in
'' | --accept) ;;
*)
    echo "usage: $0 [--accept]" >&2
    exit 2
    ;;
esac

if [ "$(uname -s)" != Linux ]; then
    echo "left out: instruction counts: they are of Linux"
    exit 0
fi
if ! command -v valgrind >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "left out: instruction counts: valgrind is not installed"
        exit 0
    fi
    echo "installing valgrind with apt-get"
    apt-get -q update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends valgrind >/dev/null
fi

# The runner and the library must have the same version.
version=$(grep -A1 -x 'name = "gungraun-runner"' Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p')
tools=${XDG_CACHE_HOME:-$HOME/.cache}/incumbent-ci/tools
export PATH=$tools/bin:$PATH
if ! gungraun-runner --version 2>/dev/null | grep -qx "gungraun-runner $version"; then
    echo "building gungraun-runner $version into $tools, once (takes a minute)"
    # Unoptimized: it waits for valgrind.
    cargo install --quiet --debug --locked --root "$tools" --version "$version" gungraun-runner
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# By the profile of what is released, but with its symbols: valgrind knows by them what to count.
began=$SECONDS
cargo rustc --quiet --locked --profile bench --bench counts --message-format json -- -C strip=none >"$scratch/built"
program=$(sed -nE '/"kind":\["bench"\]/s/.*"executable":"([^"]+)".*/\1/p' "$scratch/built")
echo "built in $((SECONDS - began)) s"

began=$SECONDS
if ! GUNGRAUN_HOME=$scratch/found "$program" --bench --output-format json --parallel >"$scratch/counts" 2>"$scratch/errors"; then
    cat "$scratch/errors" >&2
    exit 1
fi
echo "counted in $((SECONDS - began)) s"
python3 ci/counts.py "$scratch/counts" $what

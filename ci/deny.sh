#!/usr/bin/env bash
# Holds the dependencies against deny.toml: licences, sources, bans; and, where the database can be fetched, advisories.
#
# cargo-deny is built once, into ${XDG_CACHE_HOME:-~/.cache}/incumbent-ci, where it is not installed already.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${XDG_CACHE_HOME:-$HOME/.cache}/incumbent-ci/tools

if ! command -v cargo-deny >/dev/null; then
    PATH=$tools/bin:$PATH
    if ! cargo-deny --version 2>/dev/null | grep -qx "cargo-deny $version"; then
        echo "building cargo-deny $version into $tools, once (takes one to three minutes)"
        # Unoptimized: it runs for a second, and is built in half the time.
        cargo install --quiet --debug --locked --no-default-features --root "$tools" --version "$version" cargo-deny
    fi
fi
cargo deny --version

cargo fetch --quiet --locked
checks=(bans licenses sources)
if timeout 120 cargo deny fetch db >/dev/null 2>&1; then
    checks+=(advisories)
else
    echo "left out: advisories: their database cannot be fetched here"
fi
cargo deny --locked check --hide-inclusion-graph "${checks[@]}"

#!/usr/bin/env bash
# Runs under Miri what it can run in a minute: the protocol, the claim's decisions, and the readers of text. It finds undefined
# behaviour (here: in the crates that these use, for the code itself is safe Rust) and reads outside of what is there.
#
# Left out, because Miri is some thousand times slower than the processor: whatever makes inputs with proptest (the inputs that
# fuzzing has kept are read instead), walks every way of a takeover, or has megabytes; and because it has no kernel: whatever
# locks, listens, starts processes or reads /proc.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "left out: Miri: it needs nightly, and there is none"
    exit 0
fi
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "installing Miri"
    if ! rustup component add --toolchain nightly miri rust-src; then
        echo "left out: Miri: this nightly has none"
        exit 0
    fi
fi
cargo +nightly miri --version
began=$SECONDS
export CARGO_TARGET_DIR=target/miri
# The file system is let through: the corpus is read from it.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"

cargo +nightly miri test --locked -p incumbent-proto --test corpus --test malformed

pure=(
    decide::tests::{a_living,a_pong,an_orphan,only_an_answer}
    timestamp::tests::{known,milliseconds,what}
    text::tests::{durations,many,text_from,command}
    instance_id::tests::{it_is,what_is}
    lossy::tests::short
    platform::linux::cgroup::tests::{a_path,lines,units}
    platform::linux::lock::tests::only
    platform::linux::process::tests::a_command
    platform::linux::stat::tests::{every_state,what_is}
)
cargo +nightly miri test --locked -p incumbent --no-default-features --lib -- "${pure[@]}"
echo "Miri found nothing, $((SECONDS - began)) s"

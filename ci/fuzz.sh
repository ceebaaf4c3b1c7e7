#!/usr/bin/env bash
# Runs the fuzz targets: ci/fuzz.sh [SECONDS [TARGET...]]; 30 s each, all of them, two at a time.
#
# Says for each how many inputs it ran and what they covered. A finding is an error: its input, and how to run it again, are
# printed. What is new to the corpus stays in fuzz/target; fuzz/corpus is what a run begins with, and is not written to.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
shift || true
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(sed -nE 's/^path = "fuzz_targets\/(.*)\.rs"/\1/p' fuzz/Cargo.toml)

if [ "$(uname -s)" != Linux ]; then
    echo "left out: fuzzing: its targets speak through Linux"
    exit 0
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "left out: fuzzing: it needs nightly, and there is none"
    exit 0
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz"
    if ! cargo install --quiet --locked cargo-fuzz; then
        echo "left out: fuzzing: cargo-fuzz cannot be installed"
        exit 0
    fi
fi

began=$SECONDS
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The code is safe Rust but for src/platform: what an address sanitizer would see is not worth half the executions.
if ! (cd fuzz && cargo +nightly fuzz build --sanitizer none) >"$scratch/build.log" 2>&1; then
    cat "$scratch/build.log" >&2
    exit 1
fi
built=fuzz/target/x86_64-unknown-linux-gnu/release
echo "built in $((SECONDS - began)) s"

fuzz() { # TARGET: one of them, its words in $scratch
    local target=$1 words
    case $target in
    decoder | connection) words=frames ;;
    record | history | start) words=json ;;
    *) words=words ;;
    esac
    mkdir -p "$scratch/$target" "fuzz/artifacts/$target" "fuzz/target/found/$target"
    TMPDIR=$scratch/$target RUST_BACKTRACE=0 "$built/$target" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
        -dict="fuzz/dictionaries/$words" -artifact_prefix="fuzz/artifacts/$target/" \
        "fuzz/target/found/$target" "fuzz/corpus/$target" >"$scratch/$target.log" 2>&1
}

tell() { # TARGET CODE
    local target=$1 log=$scratch/$1.log
    local runs coverage
    runs=$(sed -nE 's/^stat::number_of_executed_units: +//p' "$log")
    coverage=$(grep -oE ' cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "$log" | tail -1)
    if [ "$2" = 0 ]; then
        echo "$target: ${runs:-?} runs in $seconds s,${coverage:- nothing covered}"
        return 0
    fi
    grep -aE -A2 'panicked at|ERROR: libFuzzer' "$log" | head -20 || tail -20 "$log"
    local input
    input=$(sed -nE 's/.*Test unit written to (.*)/\1/p' "$log" | tail -1)
    echo "$target: FOUND something: ${input:-no input was written}" >&2
    echo "  again: TMPDIR=\$(mktemp -d) $built/$target ${input:-}" >&2
    echo "  a test of its own, and the fix, go with it; the input may go into fuzz/corpus/$target" >&2
    return 1
}

failed=0
for ((at = 0; at < ${#targets[@]}; at += 2)); do
    pids=()
    pair=("${targets[@]:at:2}")
    for target in "${pair[@]}"; do
        fuzz "$target" &
        pids+=($!)
    done
    for number in "${!pair[@]}"; do
        code=0
        wait "${pids[number]}" || code=$?
        tell "${pair[number]}" "$code" || failed=1
    done
done
[ "$failed" = 0 ] && echo "${#targets[@]} targets, $((SECONDS - began)) s, nothing found"
exit "$failed"

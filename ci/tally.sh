#!/usr/bin/env bash
# Runs a command that runs tests (cargo test … -- --show-output), and then says how many there were.
#
# While it runs, only what names a test binary or its outcome is shown; if it fails, everything is. At the end: how many
# tests passed, and, once each with how often, what they said that they left out (lines that begin with `left out:`).
# The exit code is the command's; also a run without a single test fails.
set -uo pipefail
[ $# -ge 3 ] || { echo "usage: $0 SYSTEM SECONDS COMMAND..." >&2; exit 2; }
system=$1 limit=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT

watched=()
if command -v timeout >/dev/null; then # macOS has none
    watched=(timeout --kill-after=10 "$limit")
fi
${watched[@]+"${watched[@]}"} "$@" </dev/null 2>&1 | tr -d '\r' | tee "$log" \
    | grep --line-buffered -aE '^ +(Running|Doc-tests) |^test result: |^test .* FAILED$|^(error|warning)'
code=${PIPESTATUS[0]}

if [ "$code" != 0 ]; then
    cat "$log"
    [ "$code" != 124 ] || echo "the tests did not end within $limit s" >&2
fi
passed=$(sed -nE 's/^test result: [^.]*\. ([0-9]+) passed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
roles=$(grep -acE '^test role \.\.\. ok$' "$log" || true) # what a test binary plays when it starts itself
failed=$(sed -nE 's/^test result: .* ([0-9]+) failed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
grep -aoE '^left out: .*' "$log" | sort | uniq -c | sed -E 's/^ *([0-9]+) left out: /left out, \1 times: /; s/, 1 times:/, once:/'
echo "tests run on $system: $((passed + failed - roles)), of which $failed failed"
if [ "$code" = 0 ] && [ "$passed" = 0 ]; then
    echo "not a single test ran" >&2
    exit 1
fi
exit "$code"

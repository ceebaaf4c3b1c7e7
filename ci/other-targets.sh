#!/usr/bin/env bash
# Type-checks and lints the workspace, tests and benches too, for macOS and FreeBSD, on a Debian machine: without a linker
# and without running anything. std is type-checked along (-Zbuild-std, which RUSTC_BOOTSTRAP=1 allows on a stable
# compiler), because nothing here has it ready.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian-rust.sh
targets=(aarch64-apple-darwin x86_64-unknown-freebsd)
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$target_dir/other-targets CARGO_TERM_COLOR=never
export CARGO_PROFILE_DEV_DEBUG=none # as in ci/windows.sh, so that what both need is made once

lint() {
    RUSTC_BOOTSTRAP=1 with_debian_rust /usr/bin/cargo-clippy clippy --locked --workspace --all-targets \
        -Zbuild-std=std,test,panic_unwind --target "$1" -- -D warnings
}

part packages need_packages
for target in "${targets[@]}"; do
    part "$target: type-check and lints" lint "$target"
done

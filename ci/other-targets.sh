#!/usr/bin/env bash
# Type-checks the workspace for macOS and FreeBSD, on a Debian machine, without a linker and without running anything.
#
# rustup has no std for them without a download of its own, so that Debian's compiler and its matching std sources are
# used: std is type-checked along with the project (-Zbuild-std, which RUSTC_BOOTSTRAP=1 allows on a stable compiler).
set -euo pipefail
cd "$(dirname "$0")/.."
targets=(aarch64-apple-darwin x86_64-unknown-freebsd)
packages=(rustc-web cargo-web rust-web-src)

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

missing=()
for package in "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "cannot check other systems: ${missing[*]} are missing, and this is not Debian with root to install them" >&2
        exit 1
    fi
    echo "installing with apt-get: ${missing[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get -q update && apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "cannot check other systems: apt-get could not install ${missing[*]}" >&2
        exit 1
    fi
fi

compiler=$(dpkg-query -W -f '${Version}' rustc-web)
sources=$(dpkg-query -W -f '${Version}' rust-web-src)
if [ "$compiler" != "$sources" ]; then
    echo "cannot check other systems: rustc-web is $compiler, and rust-web-src is $sources" >&2
    exit 1
fi
/usr/bin/rustc --version

start=$SECONDS
env -u RUSTFLAGS -u RUSTUP_TOOLCHAIN PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/other-targets" \
    /usr/bin/cargo check --locked --workspace --lib --bins -Zbuild-std=std,panic_unwind "${targets[@]/#/--target=}"
echo "${targets[*]}: type-checked, $((SECONDS - start)) s"

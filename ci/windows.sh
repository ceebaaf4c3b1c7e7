#!/usr/bin/env bash
# Builds for Windows on a Debian machine, and runs all tests there under Wine; type-checks for the MSVC toolchain.
#
#     ci/windows.sh                   everything: set up, build, lint, test, type-check
#     ci/windows.sh --test killed     set up, and `cargo test` with these arguments
#
# 1. Packages: Debian's compiler and std sources, mingw-w64's linker, Wine. Installed once, as root.
# 2. std for x86_64-pc-windows-gnu, built once from those sources into a sysroot of its own.
# 3. A Wine prefix that says it is Windows 10, made once, with the one library that Wine 8 lacks (ci/wine). Every run works
#    in a fresh copy, so that nothing is left over from an earlier run, and two runs at once do not meet.
# 4. Build, lints, tests. The tests find out that they are under Wine and say what they leave out.
# 5. x86_64-pc-windows-msvc: type-checked, std along with it; there is no linker for it here.
#
# What 2 and 3 make stays in ${XDG_CACHE_HOME:-~/.cache}/incumbent-ci; delete it at will. Nothing runs on afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian-rust.sh

gnu=x86_64-pc-windows-gnu
msvc=x86_64-pc-windows-msvc
cache=${XDG_CACHE_HOME:-$HOME/.cache}/incumbent-ci
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
sysroot=$cache/sysroot
std=$sysroot/lib/rustlib/$gnu/lib
template=$cache/wineprefix
export CARGO_TARGET_DIR=$target_dir/windows CARGO_TERM_COLOR=never
export CARGO_PROFILE_DEV_DEBUG=none # forty programs are linked, and started under Wine: half the time goes without it
export WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml=
unset DISPLAY WAYLAND_DISPLAY

build_std() {
    local key work
    key=$(/usr/bin/rustc -vV | sha256sum)
    if [ "$(cat "$std/built-for" 2>/dev/null || true)" = "$key" ]; then
        echo "std for $gnu is there"
        return
    fi
    echo "building std for $gnu, once"
    work=$(mktemp -d "$cache/std.XXXXXX")
    mkdir "$work/src"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n' >"$work/Cargo.toml"
    echo '#![no_std]' >"$work/src/lib.rs"
    if ! (cd "$work" && CARGO_TARGET_DIR=$work/target RUSTC_BOOTSTRAP=1 with_debian_rust /usr/bin/cargo build --lib --release \
        -Zbuild-std=std,test,panic_unwind,panic_abort,proc_macro --target "$gnu") >"$work/log" 2>&1; then
        tail -n 30 "$work/log" >&2
        rm -rf "$work"
        return 1
    fi
    rm -rf "$sysroot"
    mkdir -p "$std"
    find "$work/target/$gnu/release/deps" -name '*.rlib' ! -name 'libempty-*' -exec cp -t "$std" {} +
    echo "$key" >"$std/built-for"
    rm -rf "$work"
}

make_prefix() {
    local new
    if [ -e "$template/made" ]; then
        echo "the Wine prefix is there"
        return
    fi
    echo "making a Wine prefix, once"
    new=$(mktemp -d "$cache/wineprefix.XXXXXX")
    if ! { WINEPREFIX=$new wineboot --init && WINEPREFIX=$new wine winecfg /v win10 \
        && WINEPREFIX=$new wineserver --wait; } </dev/null >"$new/log" 2>&1; then
        tail -n 30 "$new/log" >&2
        WINEPREFIX=$new wineserver --kill || true
        rm -rf "$new"
        return 1
    fi
    if [ ! -e "$new/drive_c/windows/system32/bcryptprimitives.dll" ]; then
        x86_64-w64-mingw32-gcc -O2 -s -shared -nostdlib -e DllMain ci/wine/bcryptprimitives.c -ladvapi32 -lkernel32 \
            -o "$new/drive_c/windows/system32/bcryptprimitives.dll"
    fi
    touch "$new/made"
    rm -rf "$template"
    mv "$new" "$template"
}

set_up() {
    need_packages gcc-mingw-w64-x86-64-win32 wine64 wine || return 1
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9 # another run may be making the same
    build_std 9>&- || return 1
    make_prefix 9>&- || return 1
    exec 9>&-
    WINEPREFIX=$(mktemp -d "${TMPDIR:-/tmp}/incumbent-wine.XXXXXX")
    export WINEPREFIX
    cp -a --reflink=auto "$template/." "$WINEPREFIX"
    wineserver --persistent=60 # a cold start takes most of a second
    wine --version
}

clean_up() {
    if [ -n "${WINEPREFIX:-}" ]; then
        wineserver --kill && wineserver --wait || true
        rm -rf "$WINEPREFIX"
    fi
}

# Fewer cases of each property than by default: the same code meets those on Linux.
in_windows() { # COMMAND...
    with_debian_rust env \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS="--sysroot $sysroot" \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTDOCFLAGS="--sysroot $sysroot" \
        PROPTEST_CASES="${PROPTEST_CASES:-64}" \
        RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) < 4 ? $(nproc) : 4))}" \
        "$@"
}

check_msvc() {
    # In the folder of ci/other-targets.sh, which needs the same build scripts and macros.
    CARGO_TARGET_DIR=$target_dir/other-targets RUSTC_BOOTSTRAP=1 with_debian_rust \
        /usr/bin/cargo check --locked --workspace --all-targets -Zbuild-std=std,test,panic_unwind --target "$msvc"
}

trap clean_up EXIT
unset WINEPREFIX
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
part "packages, std, Wine" set_up
if [ $# -gt 0 ]; then
    part "cargo test $*" in_windows /usr/bin/cargo test --locked --target "$gnu" "$@"
    exit
fi
part "$gnu: build" in_windows /usr/bin/cargo build --locked --workspace --target "$gnu"
part "$gnu: lints" in_windows /usr/bin/cargo-clippy clippy --locked --workspace --all-targets --target "$gnu" -- -D warnings
part "$gnu: tests under Wine" in_windows ci/tally.sh "Windows, under $(wine --version)" 1200 \
    /usr/bin/cargo test --locked --workspace --target "$gnu" -- --show-output
part "$msvc: type-check" check_msvc

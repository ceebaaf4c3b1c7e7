# Debian's compiler with its matching std sources: sourced by the scripts that build or check for another system.
#
# rustup has no std for those systems without a download of its own; Debian ships the sources that its compiler was built
# from, so that std is built (or type-checked) here. Nothing is written into the compiler's own folders.

oldest=1.86 # before it the windows-gnu std needs start-up objects that only a full build of the compiler makes
rust_packages=(rustc-web cargo-web rust-web-src rust-web-clippy)

# Nothing for a package that is not installed, which dpkg-query calls a failure when it has never heard of it.
version_of() { { dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null || true; } | sed -n 's/^installed //p'; }
candidate_of() { LC_ALL=C apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'; }

# What is missing of rust_packages and of the packages named, or too old, or not of one version: one a line.
lacking() { # PACKAGE...
    local package version compiler
    compiler=$(version_of rustc-web)
    for package in "${rust_packages[@]}"; do
        version=$(version_of "$package")
        if [ -z "$version" ] || [ "$version" != "$compiler" ] || dpkg --compare-versions "$version" lt "$oldest"; then
            echo "$package"
        fi
    done
    for package in "$@"; do
        [ -n "$(version_of "$package")" ] || echo "$package"
    done
}

# Installs what is lacking, after an update of the lists: old ones offer a compiler that is too old.
need_packages() { # PACKAGE...
    local missing log
    if ! command -v dpkg-query >/dev/null; then
        echo "this needs Debian: its packages ${rust_packages[*]} $*" >&2
        return 1
    fi
    mapfile -t missing < <(lacking "$@")
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" != 0 ]; then
            echo "missing, or older than $oldest, and only root can install them: ${missing[*]}" >&2
            return 1
        fi
        echo "installing with apt-get: ${missing[*]}"
        log=$(mktemp)
        if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
            "${missing[@]}"; } </dev/null >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            rm -f "$log"
            echo "apt-get could not install ${missing[*]}" >&2
            return 1
        fi
        rm -f "$log"
        mapfile -t missing < <(lacking "$@")
        if [ ${#missing[@]} -gt 0 ]; then
            echo "still missing, older than $oldest, or not of one version: ${missing[*]}" >&2
            echo "the compiler that this Debian offers is $(candidate_of rustc-web)" >&2
            return 1
        fi
    fi
    /usr/bin/rustc --version
}

# Runs a command with Debian's toolchain and nothing of rustup's. `cargo clippy` would be rustup's all the same, because
# cargo looks into its own folder first: say /usr/bin/cargo-clippy clippy.
with_debian_rust() { # COMMAND...
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTUP_TOOLCHAIN -u RUSTC_WRAPPER \
        PATH=/usr/bin:/bin:/usr/sbin:/sbin RUSTC=/usr/bin/rustc "$@"
}

# Runs a command and says how long it took. A function goes on after what fails in it (`set -e` is off where a failure is
# asked for), so it says where it returns.
part() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    printf -- '--- %s\n' "$name"
    if ! "$@"; then
        printf -- '--- %s: FAILED after %d s\n' "$name" $((SECONDS - start)) >&2
        return 1
    fi
    printf -- '--- %s: %d s\n' "$name" $((SECONDS - start))
}

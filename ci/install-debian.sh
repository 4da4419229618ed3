#!/usr/bin/env bash
# Installs the Debian packages that .ci/run and ci/interop.sh need. Idempotent, and silent when nothing is missing.
#   ci/install-debian.sh
# Runs as root or with sudo. The Rust toolchain is not its business: Debian's is too old, rustup's is used.
set -euo pipefail

# A|B: either will do, A is installed. Squid's two builds exclude each other, so one that is there stays.
PACKAGES=(
    build-essential ca-certificates curl git procps python3 valgrind # building and checking
    'squid-openssl|squid' c-icap libc-icap-mod-virus-scan clamav-daemon stunnel4 openssl # the products of ci/interop.sh
)
POLICY=/usr/sbin/policy-rc.d

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "install-debian: neither root nor sudo, cannot run: $*" >&2
        return 1
    fi
}

# The harness runs each product with a configuration of its own. The packages' daemons are not wanted: they would
# take the well-known ports, and freshclam would download a virus database.
forbid_daemons() {
    if [ -e $POLICY ]; then return; fi # a container image or an administrator has decided already
    printf '#!/bin/sh\nexit 101\n' | as_root tee $POLICY >/dev/null
    trap 'as_root rm -f $POLICY' EXIT
    as_root chmod 755 $POLICY
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

main() {
    local missing=() entry log
    for entry in "${PACKAGES[@]}"; do
        installed "${entry%|*}" || installed "${entry#*|}" || missing+=("${entry%|*}")
    done
    if [ ${#missing[@]} = 0 ]; then return; fi

    echo "install-debian: ${missing[*]}"
    forbid_daemons
    log=$(mktemp)
    # A source that cannot be reached (a stale third-party list, say) is no reason to stop: the install below decides.
    apt update >"$log" 2>&1 || true
    if ! apt install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        cat "$log" >&2
        echo "install-debian: apt-get failed" >&2
        return 1
    fi
    rm -f "$log"
}

main

#!/usr/bin/env bash
# Proof that memory does not depend on the size of a body: 1 GiB through scan-server's /echo, in REQMOD and in RESPMOD,
# and the same through icap-client.
#   ci/rss.sh
# shellcheck source=ci/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/interop/lib.sh"

LIMIT=2048 # KiB

# memory FIELD: of scan-server, in KiB.
memory() { awk -v field="$1:" '$1 == field { print $2 }' "/proc/$(cat "$WORK/scan-server.pid")/status"; }

echo_through() { timeout 300 python3 ci/interop/echo_1g.py "$INTEROP_SCAN_PORT" "$@"; }

main() {
    local start peak growth
    build
    cargo build --quiet --release -p icap-benches --bin bench-stream
    open_work
    start_scan_server
    # What the first transaction allocates for good is not a matter of body size.
    echo_through REQMOD 1
    echo_through RESPMOD 1
    start=$(memory VmRSS)
    echo_through REQMOD 1024
    echo_through RESPMOD 1024
    peak=$(memory VmHWM)
    growth=$((peak - start))
    echo "rss: scan-server: start $start KiB, peak $peak KiB, growth $growth KiB, limit $LIMIT KiB"
    [ "$growth" -lt "$LIMIT" ]
    growth=$(timeout 300 "$RELEASE/bench-stream" "icap://127.0.0.1:$INTEROP_SCAN_PORT/echo" 1024)
    echo "rss: icap-client: growth $growth KiB, limit $LIMIT KiB"
    [ "$growth" -lt "$LIMIT" ]
}

main

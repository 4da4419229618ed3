#!/usr/bin/env bash
# scan beside icap-load: small files a second and answers a second from the same server, with as many connections and
# the same dialogue, in turn. The server is scan-server, whose answer costs next to nothing, and c-icap with ClamAV.
#   benches/scan.sh
#   SCAN_BENCH_FILES=2000 SCAN_BENCH_ROUNDS=3 SCAN_BENCH_SESSIONS=one benches/scan.sh
# Linux shares cores out by sessions. So there are two tables: all programs in one session, as a shell starts them, and
# the servers in their own, as services are.
# Needs Linux, c-icap and clamd (ci/install-debian.sh) and about four minutes, and before that the time of a release
# build. Loopback only, files in $TMPDIR. Status 0 when every file and every answer was allowed, whatever the figures;
# 77 when something that is needed is missing.
# shellcheck source=ci/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../ci/interop/lib.sh"

FILES=${SCAN_BENCH_FILES:-10000}
ROUNDS=${SCAN_BENCH_ROUNDS:-9}
ARRANGEMENTS=${SCAN_BENCH_SESSIONS:-one own}
PORT=${SCAN_BENCH_PORT:-18480}
AT_ONCE=8
# What is reached of the load generator's rate is held against this.
GOAL=0.8
export TIMEFORMAT='%R %U %S'

SCAN_SERVER=127.0.0.1:$PORT/respmod
CLAMAV=127.0.0.1:$INTEROP_CICAP_PORT/virus_scan

#     NAME|SERVICE|BYTES OF A FILE|OPTIONS OF SCAN|OPTIONS OF ICAP-LOAD
CASES=(
    "all-in-preview|$SCAN_SERVER|1024||--preview 1024"
    "100-continue|$SCAN_SERVER|4096||--preview 1024"
    "no-preview|$SCAN_SERVER|4096|--no-preview|"
    "c-icap-clamav|$CLAMAV|4096||--preview 1024"
)

main() {
    local entry bytes
    need c-icap clamd python3
    cargo build --quiet --release -p icap-examples --bin scan --bin scan-server
    cargo build --quiet --release -p icap-benches --bin icap-load
    open_work
    for entry in "${CASES[@]}"; do
        IFS='|' read -r _ _ bytes _ <<<"$entry"
        make_files "$bytes"
    done
    echo "scan.sh: $FILES files, $AT_ONCE at a time, medians of $ROUNDS rounds [least..most]" >&2
    for SESSIONS in $ARRANGEMENTS; do
        echo "sessions: $SESSIONS"
        measure_all
    done
}

measure_all() {
    local entry name service bytes scan load round
    start server "$PORT" "$RELEASE/scan-server" --listen "127.0.0.1:$PORT"
    start_clamd
    start_c_icap
    printf '%-15s %6s %9s %11s  %-22s %s\n' case bytes files/s answers/s 'ratio' 'CPU us: scan, icap-load'
    for entry in "${CASES[@]}"; do
        IFS='|' read -r name service bytes scan load <<<"$entry"
        # The first of each warms up.
        for ((round = 0; round <= ROUNDS; round++)); do
            scan_once "$service" "$bytes" "$scan" || fail "scan: $(tail -n 1 "$WORK/scan.log")"
            all_have_rows
            load_once "$service" "$bytes" "$load" || fail "icap-load: $(tail -n 1 "$WORK/load.log")"
            if [ $round -gt 0 ]; then paste -d ' ' "$WORK/scan.time" "$WORK/load.time"; fi
        done >"$WORK/figures"
        report "$name" "$bytes" <"$WORK/figures"
    done
    stop c-icap
    stop clamd
    stop server
}

# make_files BYTES: of noise, as the bodies of icap-load are.
make_files() {
    mkdir -p "$WORK/files-$1"
    head -c $((FILES * $1)) /dev/urandom | split --bytes="$1" --numeric-suffixes --suffix-length=6 - "$WORK/files-$1/"
}

# scan_once SERVICE BYTES OPTIONS: seconds, user and system time in $WORK/scan.time. Starting the program and finding
# the files are part of it.
# shellcheck disable=SC2086 # $3 is a list of words
scan_once() {
    { time timeout 60 "$RELEASE/scan" --type respmod --jobs $AT_ONCE $3 --recursive "icap://$1" "$WORK/files-$2" \
        >"$WORK/rows" 2>"$WORK/scan.log"; } 2>"$WORK/scan.time"
}

# A row for each file, so that what was passed over is no speed.
all_have_rows() {
    local rows
    rows=$(wc -l <"$WORK/rows")
    [ "$rows" -eq "$FILES" ] || fail "scan: $rows rows of $FILES files"
}

# load_once SERVICE BYTES OPTIONS: the same of icap-load for as many requests, in $WORK/load.time. The seconds are its
# own: when all is done it takes up to 20 ms to see that.
# shellcheck disable=SC2086 # $3 is a list of words
load_once() {
    local seconds
    { time timeout 60 "$RELEASE/icap-load" "icap://$1" --connections $AT_ONCE --body "$2" $3 \
        --expect 204 --count "$FILES" --json >"$WORK/load.json" 2>"$WORK/load.log"; } 2>"$WORK/load.time" || return
    seconds=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["seen"]["seconds"])' <"$WORK/load.json")
    sed -i "s/^[^ ]*/$seconds/" "$WORK/load.time"
}

# report NAME BYTES: of lines with the seconds, user and system time of scan and of icap-load.
report() {
    awk -v name="$1" -v bytes="$2" -v files="$FILES" -v goal=$GOAL '
        function median(list, n, i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) {
                t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
            }
            return list[int((n + 1) / 2)]
        }
        { scan[NR] = $1; load[NR] = $4; ratio[NR] = $4 / $1; scan_cpu[NR] = $2 + $3; load_cpu[NR] = $5 + $6 }
        END {
            r = median(ratio, NR)
            words = sprintf("%.2f [%.2f..%.2f] %s", r, ratio[1], ratio[NR], r >= goal ? "met" : "missed")
            printf "%-15s %6d %9.0f %11.0f  %-22s %.1f, %.1f\n", name, bytes, files / median(scan, NR),
                files / median(load, NR), words, median(scan_cpu, NR) / files * 1e6, median(load_cpu, NR) / files * 1e6
        }'
}

main

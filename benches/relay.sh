#!/usr/bin/env bash
# secure-relay beside stunnel: CPU time of a transaction, answers a second, p99 and memory of a connection, with the
# same clients, the same server and in the same run.
#   benches/relay.sh
#   RELAY_BENCH_SECONDS=3 RELAY_BENCH_ROUNDS=1 RELAY_BENCH_SESSIONS=one benches/relay.sh
# Needs stunnel4, openssl and python3 (ci/install-debian.sh), Linux, and nine minutes. Loopback only. Status 0 when all
# answers were right, byte for byte, whatever the figures; 77 when something that is needed is missing.
#
#   icap-load ── stunnel, a client ──TLS──► stunnel, or secure-relay in either mode ──► bench-server
#
# What is measured has the last core for itself, all else has the others. Linux shares those out by sessions, and which
# program is in which decides how often the relay sleeps. So there are two tables: all programs in one session, as a
# shell or a harness starts them, and each in its own, as a service has.
# shellcheck source=ci/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../ci/interop/lib.sh"

SECONDS_EACH=${RELAY_BENCH_SECONDS:-10}
ROUNDS=${RELAY_BENCH_ROUNDS:-3}
ARRANGEMENTS=${RELAY_BENCH_SESSIONS:-one own}
PORT=${RELAY_BENCH_PORT:-18460}
KINDS=(stunnel tunnel icap)
# Connections whose memory is measured.
MANY=200

#          NAME                 WHAT ICAP-LOAD IS TOLD
CASES=(
    '204-preview-4k|/b204 --connections 16 --body 65536 --preview 4096 --expect 204'
    'echo-1m|/echo --connections 4 --body 1048576 --expect 200'
)

main() {
    local kind
    look_around
    cargo build --quiet --release -p icap-examples --bin secure-relay
    cargo build --quiet --release -p icap-benches --bin bench-server --bin icap-load
    open_work
    make_identities
    for kind in "${KINDS[@]}"; do write_configurations "$kind"; done
    echo "relay.sh: ${#CASES[@]} cases, $ROUNDS rounds of $SECONDS_EACH s for each of: ${KINDS[*]}" >&2
    for SESSIONS in $ARRANGEMENTS; do
        echo "sessions: $SESSIONS"
        measure_all
    done
}

measure_all() {
    local kind round entry
    : >"$WORK/figures"
    start back "$PORT" taskset -c "$OTHERS" "$RELEASE/bench-server" --listen "127.0.0.1:$PORT"
    for kind in "${KINDS[@]}"; do start_pair "$kind"; done
    for entry in "${CASES[@]}"; do
        for kind in "${KINDS[@]}"; do warm_up "$kind" "${entry#*|}"; done
        for ((round = 1; round <= ROUNDS; round++)); do
            for kind in "${KINDS[@]}"; do measure "${entry%%|*}" "$kind" "${entry#*|}"; done
        done
    done
    for kind in "${KINDS[@]}"; do
        measure_memory "$kind"
        stop "client-$kind"
        stop "$kind"
    done
    stop back
    python3 benches/relay_report.py "$WORK/figures"
}

# Sets CORE and OTHERS.
look_around() {
    need stunnel4 openssl python3 taskset
    CORE=$(($(nproc) - 1))
    if [ "$CORE" = 0 ]; then
        echo 'relay.sh: one core only; what is measured needs one for itself' >&2
        exit 77
    fi
    OTHERS=0-$((CORE - 1))
}

make_identities() {
    local name
    for name in server client; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" \
            -keyout "$WORK/$name.key" -out "$WORK/$name.crt" 2>/dev/null
        (umask 077 && cat "$WORK/$name.key" "$WORK/$name.crt" >"$WORK/$name.pem")
    done
}

# Ports of a kind: of what is measured, and of the client in front of it.
port_of() {
    case $1 in stunnel) echo $((PORT + 1)) ;; tunnel) echo $((PORT + 2)) ;; icap) echo $((PORT + 3)) ;; esac
}
client_port_of() { echo $(($(port_of "$1") + 10)); }

write_configurations() {
    cat >"$WORK/client-$1.conf" <<CONF
foreground = yes
pid =
[icap]
client = yes
accept = 127.0.0.1:$(client_port_of "$1")
connect = 127.0.0.1:$(port_of "$1")
cert = $WORK/client.pem
CAfile = $WORK/server.crt
verifyPeer = yes
CONF
    cat >"$WORK/stunnel.conf" <<CONF
foreground = yes
pid =
[icap]
accept = 127.0.0.1:$(port_of stunnel)
connect = 127.0.0.1:$PORT
cert = $WORK/server.pem
CAfile = $WORK/client.crt
verifyPeer = yes
CONF
}

# What is measured, and its client.
start_pair() {
    local port
    port=$(port_of "$1")
    case $1 in
    stunnel) start stunnel "$port" taskset -c "$CORE" stunnel4 "$WORK/stunnel.conf" ;;
    *) start "$1" "$port" taskset -c "$CORE" "$RELEASE/secure-relay" --mode "$1" --listen "127.0.0.1:$port" \
        --identity "$WORK/server.pem" --pin-client "$WORK/client.crt" --upstream "icap://127.0.0.1:$PORT" ;;
    esac
    start "client-$1" "$(client_port_of "$1")" taskset -c "$OTHERS" stunnel4 "$WORK/client-$1.conf"
}

# load KIND ARGUMENTS...: icap-load through it; the first argument is the path.
load() {
    local kind=$1 path=$2
    shift 2
    taskset -c "$OTHERS" "$RELEASE/icap-load" "icap://127.0.0.1:$(client_port_of "$kind")$path" --json "$@"
}

# shellcheck disable=SC2086 # $2 and $3 are lists of words
warm_up() { load "$1" $2 --warm-up 0 --duration 1 >/dev/null; }

# measure CASE KIND ARGUMENTS: a line of JSON more in $WORK/figures.
# shellcheck disable=SC2086
measure() {
    local before after
    before=$(cpu "$2")
    load "$2" $3 --warm-up 0 --duration "$SECONDS_EACH" >"$WORK/load.json"
    after=$(cpu "$2")
    figure case "$1" kind "$2" ticks $((after - before))
}

# Memory of what is measured with nobody there but one who was there before, and in the midst of many who work.
measure_memory() {
    local before with
    stop "client-$1"
    stop "$1"
    start_pair "$1"
    load "$1" /b204 --connections 1 --body 65536 --preview 4096 --count 100 >/dev/null
    before=$(resident "$1")
    load "$1" /b204 --connections $MANY --body 65536 --preview 4096 --warm-up 0 --duration 4 >"$WORK/load.json" &
    CASE_PID=$!
    sleep 3
    with=$(resident "$1")
    wait $CASE_PID
    CASE_PID=
    figure case memory kind "$1" kib $((with - before)) connections $MANY
}

# User and system time so far, in ticks. The name of the program may have blanks: it ends with the last parenthesis.
cpu() { sed 's/.*) //' "/proc/$(cat "$WORK/$1.pid")/stat" | awk '{ print $12 + $13 }'; }

# In KiB.
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$(cat "$WORK/$1.pid")/status"; }

# figure NAME VALUE...: with what icap-load said.
figure() {
    python3 - "$WORK/load.json" "$(getconf CLK_TCK)" "$@" >>"$WORK/figures" <<'PYTHON'
import json, sys
load, hertz, *pairs = sys.argv[1:]
print(json.dumps({**dict(zip(pairs[::2], pairs[1::2])), "hertz": int(hertz), "load": json.load(open(load))}))
PYTHON
}

main

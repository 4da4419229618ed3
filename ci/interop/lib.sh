# shellcheck shell=bash
# What ci/interop.sh and ci/rss.sh are made of: daemons on 127.0.0.1, their configurations, cases, checks.
# To be sourced. Everything a run makes is in $WORK; the ports can be moved by the environment.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
RELEASE=${CARGO_TARGET_DIR:-target}/release
ORIGIN=ci/interop/origin.py
export INTEROP_ORIGIN_PORT=${INTEROP_ORIGIN_PORT:-18080}
export INTEROP_SCAN_PORT=${INTEROP_SCAN_PORT:-18344}
export INTEROP_CICAP_PORT=${INTEROP_CICAP_PORT:-18345}
export INTEROP_CLAMD_PORT=${INTEROP_CLAMD_PORT:-18310}
export INTEROP_STUNNEL_PORT=${INTEROP_STUNNEL_PORT:-18347}
export INTEROP_SCAN_CLAMD_PORT=${INTEROP_SCAN_CLAMD_PORT:-18348}
export INTEROP_SQUID_PORT=${INTEROP_SQUID_PORT:-18128}
# adapting-proxy with c-icap's echo, with virus_scan, and with a server that is killed.
export INTEROP_PROXY_ECHO_PORT=${INTEROP_PROXY_ECHO_PORT:-18129}
export INTEROP_PROXY_AV_PORT=${INTEROP_PROXY_AV_PORT:-18130}
export INTEROP_PROXY_KILL_PORT=${INTEROP_PROXY_KILL_PORT:-18131}
export INTEROP_DOOMED_PORT=${INTEROP_DOOMED_PORT:-18346}
PATH=$PATH:/usr/sbin:/sbin # squid and clamd, when a user runs this
umask 022

# need PROGRAM...: ends a bench with status 77 when one is missing.
need() {
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            echo "$(basename "$0"): $program is missing; ci/install-debian.sh installs it" >&2
            exit 77
        fi
    done
}

# --- daemons ------------------------------------------------------------------------------------------------------

# start NAME PORT COMMAND...: returns once it listens. The process leads a session of its own, or with SESSIONS=one a
# group of its own in this one, so that its children can be ended with it and Ctrl-C reaches the script first. Output:
# $WORK/NAME.log.
start() {
    local name=$1 port=$2 session=(setsid) i
    shift 2
    if listening "$port"; then
        echo "$name: port $port is taken" >&2
        return 1
    fi
    if [ "${SESSIONS:-own}" = one ]; then
        session=()
        set -m # job control is what gives it a group
    fi
    "${session[@]}" "$@" >>"$WORK/$name.log" 2>&1 </dev/null &
    echo $! >"$WORK/$name.pid"
    set +m
    disown $! # how it ends is nothing for bash to report
    for ((i = 0; i < 150; i++)); do
        if listening "$port"; then return 0; fi
        running "$name" || break
        sleep 0.1
    done
    echo "$name: does not listen on port $port" >&2
    tail -n 20 "$WORK/$name".*log >&2 || true
    return 1
}

# stop NAME: SIGTERM, and SIGKILL for what is left after 5 s (then status 1).
stop() {
    local pid i left=1
    pid=$(cat "$WORK/$1.pid")
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 50 && left; i++)); do
        if running "$1"; then sleep 0.1; else left=0; fi
    done
    if [ $left = 1 ]; then kill -KILL -- "-$pid" 2>/dev/null || true; fi
    rm "$WORK/$1.pid"
    return $left
}

# running NAME: it, or anything else of its process group, and not just as a zombie.
running() {
    ps -e -o pid= -o pgid= -o stat= |
        awk -v pid="$(cat "$WORK/$1.pid")" '($1 == pid || $2 == pid) && $3 !~ /^Z/ { n++ } END { exit !n }'
}

# listening PORT: by the kernel's table, for a probing connection would leave traces in the daemons' logs.
listening() {
    local address
    address=$(printf '0100007F:%04X 00000000:0000 0A' "$1")
    grep -q "$address" /proc/net/tcp
}

# open_work: makes $WORK and sees to it that nothing of this run is left behind, whatever ends it.
open_work() {
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/icap-interop.XXXXXX")
    export WORK
    chmod 755 "$WORK" # squid started by root works as the user proxy
    trap 'close_work $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

close_work() {
    local pid
    trap '' INT TERM HUP
    if [ -n "${CASE_PID:-}" ]; then kill -TERM "$CASE_PID" 2>/dev/null || true; fi
    for pid in "$WORK"/*.pid; do
        if [ -e "$pid" ]; then stop "$(basename "$pid" .pid)" || true; fi
    done
    if [ "$1" = 0 ] || [ "$1" = 130 ]; then
        rm -rf "$WORK"
    else
        echo "logs and files of this run: $WORK" >&2
    fi
}

# --- cases --------------------------------------------------------------------------------------------------------

PASSED=0 FAILED=0

# it NAME LIMIT COMMAND...: runs one case if its name begins with $PREFIX, for LIMIT seconds at most. The command runs
# in a process of its own (the script again, with --case), which is what timeout can end with all its children.
it() {
    local name=$1 limit=$2 status=0 log
    shift 2
    case $name in "${PREFIX:-}"*) ;; *) return 0 ;; esac
    export CASE=$name CASE_DIR=$WORK/case
    log=$WORK/case.out
    mkdir -p "$CASE_DIR"
    remember_logs
    timeout --kill-after=5 "$limit" bash ci/interop.sh --case "$@" >"$log" 2>&1 &
    CASE_PID=$!
    wait "$CASE_PID" || status=$?
    CASE_PID=
    if [ "$status" = 0 ]; then
        PASSED=$((PASSED + 1))
        echo "ok   $name"
        rm -rf "$CASE_DIR"
        return
    fi
    FAILED=$((FAILED + 1))
    case $status in
    124 | 137) echo "FAIL $name: not done after $limit s" ;;
    *) echo "FAIL $name: $(tail -n 1 "$log")" ;;
    esac
    show_failure "$log"
    mv "$CASE_DIR" "$WORK/failed-${name//\//-}"
}

summary() {
    echo "$PASSED passed, $FAILED failed"
    [ "$FAILED" = 0 ] && [ "$PASSED" != 0 ]
}

# What the case printed, and what the daemons logged while it ran.
show_failure() {
    local file
    tail -n 30 "$1" | awk '{ print "     | " $0 }'
    for file in "$WORK"/*.log; do
        tail -c "+$((${LOG_SIZE[$file]:-0} + 1))" "$file" | tail -n 20 |
            awk -v name="$(basename "$file" .log)" '{ print "     " name "| " $0 }'
    done
}

declare -A LOG_SIZE
remember_logs() {
    local file
    for file in "$WORK"/*.log; do LOG_SIZE[$file]=$(stat -c %s "$file"); done
}

fail() {
    echo "$*" >&2
    exit 1
}

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# await REGEX FILE: the first line that matches. Daemons log a moment after the peer has its answer.
await() {
    local i
    for ((i = 0; i < 50; i++)); do
        if grep -m 1 -E -- "$1" "$2"; then return 0; fi
        sleep 0.1
    done
    return 1
}

bytes() { python3 "$ORIGIN" --file "$1"; }
eicar() { python3 "$ORIGIN" --eicar; }
sha256() { sha256sum <"$1" | cut -d' ' -f1; }

# --- configurations -----------------------------------------------------------------------------------------------

build() { cargo build --quiet --release -p icap-examples --bins; }

start_scan_server() {
    start scan-server "$INTEROP_SCAN_PORT" "$RELEASE/scan-server" --listen "127.0.0.1:$INTEROP_SCAN_PORT"
    start scan-server-clamd "$INTEROP_SCAN_CLAMD_PORT" "$RELEASE/scan-server" \
        --listen "127.0.0.1:$INTEROP_SCAN_CLAMD_PORT" --clamd "127.0.0.1:$INTEROP_CLAMD_PORT"
}

start_origin() {
    start origin "$INTEROP_ORIGIN_PORT" python3 "$ORIGIN" "$INTEROP_ORIGIN_PORT"
}

# A word that only clamd knows.
clamd_word() { echo 'Interop word for clamd'; }

# The signature database knows nothing but EICAR and that word, so that no download is needed.
start_clamd() {
    mkdir -p "$WORK/clamd"
    # NAME:any file type:at any offset:HEX
    {
        echo "Interop-Eicar:0:*:$(eicar | od -An -v -tx1 | tr -d ' \n')"
        echo "Interop-Word:0:*:$(clamd_word | od -An -v -tx1 | tr -d ' \n')"
    } >"$WORK/clamd/interop.ndb"
    cat >"$WORK/clamd.conf" <<CONF
Foreground yes
TCPAddr 127.0.0.1
TCPSocket $INTEROP_CLAMD_PORT
DatabaseDirectory $WORK/clamd
TemporaryDirectory $WORK/clamd
CONF
    start clamd "$INTEROP_CLAMD_PORT" clamd --config-file="$WORK/clamd.conf"
}

# The services echo, ex206, which answers 206, and virus_scan with clamd behind it.
start_c_icap() {
    local modules
    modules=$(dirname "$(dpkg -L c-icap | grep '/srv_echo\.so$')")
    mkdir -p "$WORK/c-icap"
    cat >"$WORK/c-icap.conf" <<CONF
PidFile $WORK/c-icap/pid
CommandsSocket $WORK/c-icap/control
Port 127.0.0.1:$INTEROP_CICAP_PORT
TmpDir $WORK/c-icap
ServerLog $WORK/c-icap.server.log
AccessLog $WORK/c-icap.access.log
ModulesDir $modules
ServicesDir $modules
TemplateDir /usr/share/c_icap/templates/
LoadMagicFile /etc/c-icap/c-icap.magic
StartServers 1
MaxServers 2
ThreadsPerChild 20
Service echo srv_echo.so
Service ex206 srv_ex206.so
Module common clamd_mod.so
clamd_mod.ClamdHost 127.0.0.1
clamd_mod.ClamdPort $INTEROP_CLAMD_PORT
Service antivirus_module virus_scan.so
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE
# As much is held back until the verdict. What is sent before it can only be cut off, not be replaced by a block page.
virus_scan.StartSendPercentDataAfter 2M
virus_scan.MaxObjectSize 5M
virus_scan.DefaultEngine clamd
CONF
    # -N: no daemon. One process (StartServers 1), because echo alternates 200 and 204 per process.
    start c-icap "$INTEROP_CICAP_PORT" c-icap -N -D -f "$WORK/c-icap.conf"
}

# TLS in front of c-icap, for clients with a certificate of our authority only.
start_stunnel() {
    make_certificates "$WORK/tls"
    cat >"$WORK/stunnel.conf" <<CONF
foreground = yes
pid =
[icap]
accept = 127.0.0.1:$INTEROP_STUNNEL_PORT
connect = 127.0.0.1:$INTEROP_CICAP_PORT
cert = $WORK/tls/server.crt
key = $WORK/tls/server.key
CAfile = $WORK/tls/ca.crt
verifyChain = yes
requireCert = yes
CONF
    start stunnel "$INTEROP_STUNNEL_PORT" stunnel4 "$WORK/stunnel.conf"
}

# make_certificates FOLDER: an authority with a server and a client, and another authority with a client, the stranger.
make_certificates() {
    mkdir "$1"
    authority "$1/ca" interop-ca
    authority "$1/other" other-ca
    certificate "$1/server" interop-server "$1/ca" $'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
    certificate "$1/client" interop-client "$1/ca" extendedKeyUsage=clientAuth
    certificate "$1/stranger" interop-stranger "$1/other" extendedKeyUsage=clientAuth
}

# authority FILE NAME
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$2" \
        -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign \
        -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

# certificate FILE NAME AUTHORITY EXTENSIONS: FILE.crt, FILE.key, and both in FILE.pem
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" \
        -keyout "$1.key" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 2 \
        -extfile <(echo "$4") -out "$1.crt" 2>/dev/null
    cat "$1.crt" "$1.key" >"$1.pem"
}

# Both directions go through scan-server; a failure of ICAP is an HTTP error (bypass=off), never a silent pass.
# Squid 5.7 has a bug (5352) to know when a case here stalls: with 64 KiB of a response on its hands, it reads on from
# the origin only when something has come back from the ICAP server. scan-server therefore holds back less.
# Another one (5550): when the client is the slower side and takes the rest of an adapted body just as its end arrives,
# Squid forgets the last chunk. A read_ahead_gap above the largest body keeps Squid from ever holding that body back.
# And a third (5405): when an upload fills the request buffer, Squid reads into no space and takes what comes of it,
# nothing, for the end of the connection. A buffer above the largest body is never full.
start_squid() {
    mkdir "$WORK/squid"
    cat >"$WORK/squid.conf" <<CONF
http_port 127.0.0.1:$INTEROP_SQUID_PORT
http_access allow all
visible_hostname proxy.test
pid_filename none
pinger_enable off
netdb_filename none
cache deny all
server_persistent_connections off
shutdown_lifetime 0 seconds
read_ahead_gap 128 MB
client_request_buffer_max_size 128 MB
coredump_dir $WORK/squid
cache_log $WORK/squid.cache.log
access_log stdio:$WORK/squid.access.log
strip_query_terms off
logformat icap %rm %ru %icap::rm %icap::ru %icap::to/%03icap::Hs preview=%{Preview}icap::>h
icap_log stdio:$WORK/squid.icap.log icap
icap_enable on
icap_preview_enable on
icap_persistent_connections on
icap_connect_timeout 5 seconds
icap_io_timeout 15 seconds
icap_service_revival_delay 5
icap_service scan_req reqmod_precache icap://127.0.0.1:$INTEROP_SCAN_PORT/reqmod bypass=off
icap_service scan_resp respmod_precache icap://127.0.0.1:$INTEROP_SCAN_PORT/respmod bypass=off
adaptation_access scan_req allow all
adaptation_access scan_resp allow all
CONF
    # Started by root, squid gives up its rights before it opens its logs.
    touch "$WORK"/squid.{cache,access,icap}.log
    if [ "$(id -u)" = 0 ]; then chown proxy:proxy "$WORK/squid" "$WORK"/squid.*.log; fi
    # -n: shared memory of its own, beside any squid that runs on this machine already.
    start squid "$INTEROP_SQUID_PORT" squid -N -n "interop$INTEROP_SQUID_PORT" -f "$WORK/squid.conf"
}

# start_proxy NAME PORT ICAP-PORT REQMOD-SERVICE RESPMOD-SERVICE
start_proxy() {
    start "$1" "$2" "$RELEASE/adapting-proxy" --listen "127.0.0.1:$2" \
        --reqmod "icap://127.0.0.1:$3/$4" --respmod "icap://127.0.0.1:$3/$5"
}

start_proxies() {
    start_proxy proxy-echo "$INTEROP_PROXY_ECHO_PORT" "$INTEROP_CICAP_PORT" echo echo
    start_proxy proxy-av "$INTEROP_PROXY_AV_PORT" "$INTEROP_CICAP_PORT" virus_scan virus_scan
    # A scan-server of its own, for a case that kills it.
    start doomed "$INTEROP_DOOMED_PORT" "$RELEASE/scan-server" --listen "127.0.0.1:$INTEROP_DOOMED_PORT"
    start_proxy proxy-kill "$INTEROP_PROXY_KILL_PORT" "$INTEROP_DOOMED_PORT" echo echo
}

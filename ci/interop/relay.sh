# shellcheck shell=bash
# secure-relay between real clients and c-icap: certificates, the relay, stunnel and a Squid with icaps://. To be
# sourced by ci/interop.sh, behind lib.sh.
export INTEROP_RELAY_PORT=${INTEROP_RELAY_PORT:-18444}
export INTEROP_RELAY_STUNNEL_PORT=${INTEROP_RELAY_STUNNEL_PORT:-18445}
export INTEROP_RELAY_SQUID_PORT=${INTEROP_RELAY_SQUID_PORT:-18132}

start_relay() {
    local name
    for name in relay client foreign; do
        "$RELEASE/secure-relay" new-identity "$WORK/$name.pem" --name 127.0.0.1 >/dev/null
        sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' "$WORK/$name.pem" >"$WORK/$name.crt"
    done
    start relay "$INTEROP_RELAY_PORT" "$RELEASE/secure-relay" --listen "127.0.0.1:$INTEROP_RELAY_PORT" \
        --identity "$WORK/relay.pem" --client-ca "$WORK/client.crt" --upstream "icap://127.0.0.1:$INTEROP_CICAP_PORT"
    cat >"$WORK/relay-stunnel.conf" <<CONF
foreground = yes
pid =
[icap]
client = yes
accept = 127.0.0.1:$INTEROP_RELAY_STUNNEL_PORT
connect = 127.0.0.1:$INTEROP_RELAY_PORT
cert = $WORK/client.pem
CAfile = $WORK/relay.crt
verifyPeer = yes
CONF
    start relay-stunnel "$INTEROP_RELAY_STUNNEL_PORT" stunnel4 "$WORK/relay-stunnel.conf"
}

# Squid speaks icaps:// when it is built with OpenSSL.
start_relay_squid() {
    local tls="tls-cert=$WORK/squid-client.crt tls-key=$WORK/squid-client.key tls-cafile=$WORK/relay.crt"
    squid -v | grep -q -- --with-openssl || return 0
    cp "$WORK/client.crt" "$WORK/squid-client.crt"
    sed -n '/BEGIN PRIVATE KEY/,/END PRIVATE KEY/p' "$WORK/client.pem" >"$WORK/squid-client.key"
    mkdir "$WORK/relay-squid"
    sed -e "s|$WORK/squid\\b|$WORK/relay-squid|g" -e "s|squid\\.\\(cache\\|access\\|icap\\)\\.log|relay-squid.\\1.log|" \
        -e "s|^http_port .*|http_port 127.0.0.1:$INTEROP_RELAY_SQUID_PORT|" \
        -e "s|^\\(icap_service .*\\) icap://[^ ]*|\\1 icaps://127.0.0.1:$INTEROP_RELAY_PORT/virus_scan $tls|" \
        "$WORK/squid.conf" >"$WORK/relay-squid.conf"
    touch "$WORK"/relay-squid.{cache,access,icap}.log
    if [ "$(id -u)" = 0 ]; then
        chown proxy:proxy "$WORK/relay-squid" "$WORK"/relay-squid.*.log "$WORK"/squid-client.*
    fi
    start relay-squid "$INTEROP_RELAY_SQUID_PORT" squid -N -n "interop$INTEROP_RELAY_SQUID_PORT" -f "$WORK/relay-squid.conf"
}

# c-icap-client through stunnel, the relay, c-icap and clamd.
relay_client() {
    timeout 50 c-icap-client -i 127.0.0.1 -p "$INTEROP_RELAY_STUNNEL_PORT" -s virus_scan -v -f "$CASE_DIR/file" \
        -o "$CASE_DIR/out" "$@" >"$CASE_DIR/said" 2>&1 || true
    cat "$CASE_DIR/said"
}

relay_clean() {
    local size=$1
    shift
    bytes "$size" >"$CASE_DIR/file"
    relay_client "$@"
    case "$(icap_status)" in
    200) cmp "$CASE_DIR/out" "$CASE_DIR/file" ;;
    204) [ ! -s "$CASE_DIR/out" ] || fail '204 with a body' ;;
    *) fail "ICAP status '$(icap_status)'" ;;
    esac
    await 'transaction complete.*status=20' "$WORK/relay.log"
}

relay_eicar() {
    eicar >"$CASE_DIR/file"
    relay_client "$@"
    expect 'ICAP status' 200 "$(icap_status)"
    grep -qi 'virus' "$CASE_DIR/out" || fail 'no block page'
}

relay_options() {
    timeout 15 c-icap-client -i 127.0.0.1 -p "$INTEROP_RELAY_STUNNEL_PORT" -s virus_scan -v >"$CASE_DIR/said" 2>&1 || true
    cat "$CASE_DIR/said"
    expect 'ICAP status' 200 "$(icap_status)"
    [ -n "$(icap_header ISTag)" ] || fail 'no ISTag'
}

# relay_refused REASON OPENSSL-FLAGS...: TLS 1.3 tells the client with its first read.
relay_refused() {
    local reason=$1
    shift
    printf 'OPTIONS icap://a/virus_scan ICAP/1.0\r\nHost: a\r\n\r\n' |
        timeout 10 openssl s_client -connect "127.0.0.1:$INTEROP_RELAY_PORT" -quiet "$@" >"$CASE_DIR/out" 2>&1 || true
    cat "$CASE_DIR/out"
    ! grep -q 'ICAP/1.0' "$CASE_DIR/out" || fail 'it was answered'
    await "$reason" "$WORK/relay.log"
}

relay_squid_get() {
    [ -e "$WORK/relay-squid.conf" ] || return 0
    curl -sS -o "$CASE_DIR/out" -x "http://127.0.0.1:$INTEROP_RELAY_SQUID_PORT" \
        "http://127.0.0.1:$INTEROP_ORIGIN_PORT/size/$1"
    bytes "$1" | cmp - "$CASE_DIR/out"
    await 'RESPMOD' "$WORK/relay.log"
}

relay_squid_eicar() {
    [ -e "$WORK/relay-squid.conf" ] || return 0
    curl -sS -o "$CASE_DIR/out" -x "http://127.0.0.1:$INTEROP_RELAY_SQUID_PORT" \
        "http://127.0.0.1:$INTEROP_ORIGIN_PORT/eicar"
    ! grep -qF "$(eicar)" "$CASE_DIR/out" || fail 'it came through'
    grep -qi 'virus' "$CASE_DIR/out" || fail 'no block page'
}

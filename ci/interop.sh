#!/usr/bin/env bash
# Proof against products that others made: c-icap (server and client), ClamAV, stunnel, Squid and curl.
#   ci/interop.sh [NAME-PREFIX]      e.g. ci/interop.sh squid/ or ci/interop.sh proxy/
# Installs what is missing (ci/install-debian.sh), builds, starts everything on 127.0.0.1, prints one line a case.
# Status 0 if all cases passed. Ports and helpers: ci/interop/lib.sh.
# shellcheck source=ci/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/interop/lib.sh"
# shellcheck source=ci/interop/relay.sh
. ci/interop/relay.sh

# shellcheck disable=SC2086 # $flags is a list of words
cases() {
    local size flags service method

    #  NAME                            LIMIT  WHAT IS DONE                        WITH
    it client/options                     10  client_options                      reqmod
    it client/options-respmod             10  client_options                      respmod
    for flags in '' '-nopreview' '-no204' '-nopreview -no204'; do
        for size in 0 17 1024 1025 300K; do
            it "client/clean-$size${flags// /}" 20  client_clean $size            $flags
        done
        it "client/eicar${flags// /}"      20  client_eicar                       $flags
        it "client/eicar-last${flags// /}" 20  client_eicar_last                  $flags
    done
    # Not with a preview: c-icap-client 0.5.10 loses an answer that comes instead of 100 Continue, or right behind it.
    it client/eicar-first-nopreview       20  client_eicar_first                  -nopreview
    it client/eicar-first-nopreview-no204 20  client_eicar_first                  -nopreview -no204

    for service in echo virus_scan; do
        for method in reqmod respmod; do
            it scan/$service-$method-0    20  scan_clean $service $method 0
            it scan/$service-$method-1k   20  scan_clean $service $method 1024
            it scan/$service-$method-1m   20  scan_clean $service $method 1M
        done
    done
    # Outside a preview c-icap's echo always copies: the comparison decides, not a 204.
    it scan/echo-reqmod-1m-no-preview     20  scan_clean echo reqmod 1M           --no-preview
    it scan/echo-respmod-1m-no-preview    20  scan_clean echo respmod 1M          --no-preview
    it scan/respmod-1m-no-preview         20  scan_clean virus_scan respmod 1M    --no-preview
    it scan/respmod-1m-preview-0          20  scan_clean virus_scan respmod 1M    --preview 0
    it scan/reqmod-eicar                  20  scan_eicar reqmod
    it scan/respmod-eicar                 20  scan_eicar respmod
    it scan/respmod-eicar-no-preview      20  scan_eicar respmod                  --no-preview
    it scan/reqmod-eicar-in-1m            20  scan_eicar_in_1m reqmod
    it scan/respmod-eicar-in-1m           20  scan_eicar_in_1m respmod
    it scan/several-files                 20  scan_several
    it scan/ex206-html                    20  scan_ex206_html
    it scan/ex206-other                   20  scan_clean ex206 respmod 1024
    for method in reqmod respmod; do
        it scan/tls-$method-clean         20  scan_tls 0 allow $method 1M
        it scan/tls-$method-eicar         20  scan_tls 1 block $method eicar
    done
    it scan/tls-no-certificate            20  scan_tls_refused ca
    it scan/tls-certificate-of-another-ca 20  scan_tls_refused ca stranger
    it scan/tls-server-of-another-ca      20  scan_tls_refused other client
    it scan/tls-pin                       20  scan_tls_pin
    it scan/tls-check                     20  scan_tls_check
    it scan/clamd-blocks                  20  scan_clamd
    it scan/no-such-service               20  scan_error "icap://127.0.0.1:$INTEROP_CICAP_PORT/nosuch"
    it scan/no-server                     20  scan_error icap://127.0.0.1:1/echo

    for service in echo av; do
        for size in 0 1024 1M 64M; do
            it proxy/$service-get-$size         60  proxy_get $service /size/$size
            it proxy/$service-get-chunked-$size 60  proxy_get $service /chunked/$size
            it proxy/$service-post-$size        60  proxy_post $service $size
            it proxy/$service-post-chunked-$size 60 proxy_post $service $size   -H 'Transfer-Encoding: chunked'
        done
        it proxy/$service-expect          20  proxy_post $service 1M            -H 'Expect: 100-continue'
        it proxy/$service-head            20  proxy_head $service
        it proxy/$service-not-modified    20  proxy_not_modified $service
        it proxy/$service-connect         20  proxy_connect $service
    done
    it proxy/eicar-download               20  proxy_eicar_download /eicar
    it proxy/eicar-first-download         20  proxy_eicar_download /eicar-first/1M
    it proxy/eicar-last-download          20  proxy_eicar_download /eicar-last/1M
    it proxy/eicar-upload                 20  proxy_eicar_upload
    it proxy/eicar-first-upload           20  proxy_eicar_upload 1M
    it proxy/no-origin                    20  proxy_no_origin
    it proxy/killed-in-mid-body           40  proxy_killed --http1.1
    it proxy/killed-in-mid-body-http1.0   40  proxy_killed --http1.0

    it relay/options                      20  relay_options
    it relay/client-clean-0               20  relay_clean 0
    it relay/client-clean-1k              20  relay_clean 1024
    it relay/client-clean-1m              20  relay_clean 1M
    it relay/client-clean-1m-no-preview   20  relay_clean 1M                      -nopreview -no204
    it relay/client-clean-64m             60  relay_clean 64M
    it relay/client-clean-64m-no-preview  60  relay_clean 64M                     -nopreview -no204
    it relay/client-eicar                 20  relay_eicar
    it relay/client-eicar-no-preview      20  relay_eicar                         -nopreview -no204
    it relay/no-certificate               20  relay_refused 'the client shows no certificate'
    it relay/foreign-certificate          20  relay_refused 'the certificate of the client' -cert "$WORK/foreign.pem" -key "$WORK/foreign.pem"
    it relay/squid-get-1k                 20  relay_squid_get 1024
    # Not 1M: virus_scan holds all of it back, and Squid 5.7 then reads no further (see start_squid).
    it relay/squid-get-64m                60  relay_squid_get 64M
    it relay/squid-eicar                  20  relay_squid_eicar

    it squid/get-0                        20  squid_get /size/0
    it squid/get-1k                       20  squid_get /size/1024
    it squid/get-1m                       20  squid_get /size/1M
    it squid/get-64m                      60  squid_get /size/64M
    it squid/get-chunked-1k               20  squid_get /chunked/1024
    it squid/get-chunked-1m               20  squid_get /chunked/1M
    it squid/get-chunked-64m              60  squid_get /chunked/64M
    it squid/head                         20  squid_head
    it squid/not-modified                 20  squid_not_modified
    it squid/post-0                       20  squid_post 0
    it squid/post-1k                      20  squid_post 1024
    it squid/post-1m                      20  squid_post 1M
    it squid/post-64m                     60  squid_post 64M
    it squid/post-chunked-1k              20  squid_post 1024                     -H 'Transfer-Encoding: chunked'
    it squid/post-chunked-1m              20  squid_post 1M                       -H 'Transfer-Encoding: chunked'
    it squid/post-chunked-64m             60  squid_post 64M                      -H 'Transfer-Encoding: chunked'
    # -first: the preview decides. Squid 5.7 stalls when 100 Continue and the whole answer arrive in one piece.
    it squid/eicar-download               20  squid_eicar_download /eicar
    it squid/eicar-first-download         20  squid_eicar_download /eicar-first/1M
    it squid/eicar-last-download          20  squid_eicar_cut      /eicar-last/1M
    it squid/eicar-upload                 20  squid_eicar_upload
    it squid/eicar-first-upload           20  squid_eicar_upload 1M
    it squid/fail-closed                  30  squid_fail_closed # stops scan-server: has to be the last
}

# --- c-icap-client against scan-server ----------------------------------------------------------------------------
# Its exit status says nothing (0 for a 404 or a dropped connection), so what it prints with -v is looked at.

client_options() {
    client "$1"
    expect 'ICAP status' 200 "$(icap_status)"
    expect Preview 1024 "$(icap_header Preview)"
    grep -q 'Allow 204: Yes' "$CASE_DIR/said" || fail '204 is not offered'
    [ -n "$(icap_header ISTag)" ] || fail 'no ISTag'
    [[ $(icap_header Methods) == *"${1^^}"* ]] || fail "Methods without ${1^^}"
}

client_clean() {
    local size=$1 file=$CASE_DIR/file
    shift
    bytes "$size" >"$file"
    client respmod -f "$file" "$@"
    case "$(icap_status) $*" in
    '200 '*) # The body must be there even if it is empty: then it is the ICAP head that proves an answer.
        grep -q 'Encapsulated: res-hdr=0, ' "$CASE_DIR/said" || fail 'no HTTP response in the answer'
        cmp "$CASE_DIR/out" "$file"
        ;;
    '204 -nopreview -no204') fail '204, which the client has not allowed' ;;
    '204 '*) [ ! -s "$CASE_DIR/out" ] || fail '204 with a body' ;;
    *) fail "ICAP status '$(icap_status)'" ;;
    esac
}

client_eicar() {
    eicar >"$CASE_DIR/file"
    client_blocked "$@"
    grep -qi '<h1>' "$CASE_DIR/out" || fail 'no block page'
}

# The answer comes while the client is still sending.
client_eicar_first() {
    { eicar && bytes 300K; } >"$CASE_DIR/file"
    client_blocked "$@"
    grep -qi '<h1>' "$CASE_DIR/out" || fail 'no block page'
}

client_eicar_last() {
    { bytes 300K && eicar; } >"$CASE_DIR/file"
    case "$*" in
    *-no204*) # The message is passed on while it is scanned: too late for a page, but the end must not come through.
        client respmod -f "$CASE_DIR/file" "$@"
        expect 'ICAP status' 200 "$(icap_status)"
        cmp -n "$(stat -c %s "$CASE_DIR/out")" "$CASE_DIR/out" "$CASE_DIR/file"
        ! grep -qF "$(eicar)" "$CASE_DIR/out" || fail 'it came through'
        ;;
    *)
        client_blocked "$@"
        grep -qi '<h1>' "$CASE_DIR/out" || fail 'no block page'
        ;;
    esac
}

client_blocked() {
    client respmod -f "$CASE_DIR/file" "$@"
    expect 'ICAP status' 200 "$(icap_status)"
    [[ $(icap_header X-Infection-Found) == 'Type=0; Resolution=2; Threat='*';' ]] || fail 'no X-Infection-Found'
}

client() {
    local service=$1
    shift
    timeout 15 c-icap-client -i 127.0.0.1 -p "$INTEROP_SCAN_PORT" -s "$service" -v -o "$CASE_DIR/out" "$@" \
        >"$CASE_DIR/said" 2>&1 || true
    cat "$CASE_DIR/said"
}

icap_status() { sed -n 's/^\tICAP\/1\.0 \([0-9]*\).*/\1/p' "$CASE_DIR/said"; }
icap_header() { sed -n "/^ICAP HEADERS/,/^$/s/^\t$1: *//p" "$CASE_DIR/said"; }

# --- scan against c-icap and ClamAV -------------------------------------------------------------------------------

# Twice: c-icap's echo answers a preview with 200 and 204 in turn, and both mean the same.
scan_clean() {
    local service=$1 method=$2 size=$3
    shift 3
    bytes "$size" >"$CASE_DIR/file"
    scan 0 allow --method "$method" "$@" "$(c_icap "$service")" "$CASE_DIR/file"
    scan 0 allow --method "$method" "$@" "$(c_icap "$service")" "$CASE_DIR/file"
}

scan_eicar() {
    local method=$1
    shift
    eicar >"$CASE_DIR/file"
    scan 1 block --method "$method" "$@" "$(c_icap virus_scan)" "$CASE_DIR/file"
}

scan_eicar_in_1m() {
    { bytes 1M && eicar; } >"$CASE_DIR/file"
    scan 1 block --method "$1" "$(c_icap virus_scan)" "$CASE_DIR/file"
}

scan_several() {
    bytes 1024 >"$CASE_DIR/clean"
    eicar >"$CASE_DIR/bad"
    scan 1 'allow block allow' --jobs 1 --method respmod "$(c_icap virus_scan)" "$CASE_DIR"/{clean,bad,clean}
}

scan_error() {
    bytes 1024 >"$CASE_DIR/file"
    scan 2 error --method respmod "$1" "$CASE_DIR/file"
}

# The service puts a comment in front of an HTML body and has the rest taken from the original.
scan_ex206_html() {
    stat -c %s "$WORK/c-icap.access.log" >"$CASE_DIR/logged"
    echo '<html><body>hello</body></html>' >"$CASE_DIR/file.html"
    scan 3 modified --method respmod "$(c_icap ex206)" "$CASE_DIR/file.html"
    await 'RESPMOD .*ex206.* 206' <(c_icap_log) || fail 'c-icap logged no 206'
}

# scan_tls STATUS VERDICT METHOD SIZE|eicar: by way of stunnel, which wants a certificate.
scan_tls() {
    if [ "$4" = eicar ]; then eicar; else bytes "$4"; fi >"$CASE_DIR/file"
    scan "$1" "$2" --method "$3" --ca "$WORK/tls/ca.crt" --client-cert "$WORK/tls/client.pem" \
        "$(stunnel_uri virus_scan)" "$CASE_DIR/file"
}

# scan_tls_refused AUTHORITY [CLIENT]
scan_tls_refused() {
    bytes 1024 >"$CASE_DIR/file"
    scan 2 error --method respmod --ca "$WORK/tls/$1.crt" ${2:+--client-cert "$WORK/tls/$2.pem"} \
        "$(stunnel_uri virus_scan)" "$CASE_DIR/file"
}

scan_tls_pin() {
    local pin
    pin=$(openssl x509 -in "$WORK/tls/server.crt" -noout -fingerprint -sha256 | cut -d= -f2)
    bytes 1024 >"$CASE_DIR/file"
    scan 0 allow --method respmod --pin "$pin" --client-cert "$WORK/tls/client.pem" \
        "$(stunnel_uri virus_scan)" "$CASE_DIR/file"
}

scan_tls_check() {
    "$RELEASE/scan" --check --ca "$WORK/tls/ca.crt" --client-cert "$WORK/tls/client.pem" \
        "$(stunnel_uri virus_scan)" | tee "$CASE_DIR/text"
    expect steps 'name TCP TLS OPTIONS clean must-block' \
        "$(awk '$1 == "ok" { print $2 }' "$CASE_DIR/text" | xargs)"
    grep -q 'TLS .*CN=interop-server, by CN=interop-ca, until 20' "$CASE_DIR/text" || fail 'no certificate'
}

# What clamd knows and the engine of scan-server does not: it passes without clamd, and not with it.
scan_clamd() {
    { bytes 300K && clamd_word; } >"$CASE_DIR/file"
    scan 0 allow --method respmod "icap://127.0.0.1:$INTEROP_SCAN_PORT/respmod" "$CASE_DIR/file"
    scan 1 block --method respmod "icap://127.0.0.1:$INTEROP_SCAN_CLAMD_PORT/respmod" "$CASE_DIR/file"
    grep -q Interop-Word "$CASE_DIR/json" || fail 'not by clamd'
    eicar >"$CASE_DIR/file"
    scan 1 block --method reqmod "icap://127.0.0.1:$INTEROP_SCAN_CLAMD_PORT/reqmod" "$CASE_DIR/file"
}

stunnel_uri() { echo "icaps://127.0.0.1:$INTEROP_STUNNEL_PORT/$1"; }

# scan STATUS VERDICTS ARGUMENT...: checks the JSON, and that the lines for people agree with it.
scan() {
    local wanted=$1 verdicts=$2 status=0 word
    shift 2
    timeout 15 "$RELEASE/scan" --json "$@" >"$CASE_DIR/json" || status=$?
    cat "$CASE_DIR/json"
    expect 'exit status' "$wanted" "$status"
    expect verdicts "$verdicts" "$(python3 -c '
import json, sys
for line in sys.stdin:
    one = json.loads(line)
    assert open(one["file"]), "the key file must name the file"
    print(one["verdict"])' <"$CASE_DIR/json" | xargs)"

    status=0
    timeout 15 "$RELEASE/scan" "$@" >"$CASE_DIR/text" || status=$?
    cat "$CASE_DIR/text"
    expect 'exit status without --json' "$wanted" "$status"
    for word in $verdicts; do grep -q "^$word" "$CASE_DIR/text" || fail "no line says $word"; done
}

c_icap() { echo "icap://127.0.0.1:$INTEROP_CICAP_PORT/$1"; }

# --- curl, Squid, scan-server, origin -----------------------------------------------------------------------------
# Each URL carries the name of its case, by which the logs of the origin and of Squid's ICAP side are searched.

squid_get() {
    through_squid 200 "$1"
    expect 'body' "$(origin_hash 5)" "$(sha256 "$CASE_DIR/body")"
    adapted REQMOD
    adapted RESPMOD
}

squid_head() {
    through_squid 200 /size/1M --head
    expect Content-Length $((1 << 20)) "$(http_header Content-Length)"
    adapted REQMOD
    adapted RESPMOD
}

squid_not_modified() {
    through_squid 304 /cached -H 'If-None-Match: "v1"'
    expect ETag '"v1"' "$(http_header ETag)"
    [ ! -s "$CASE_DIR/body" ] || fail '304 with a body'
    adapted REQMOD
    adapted RESPMOD
}

# The body goes to the origin by way of REQMOD and comes back by way of RESPMOD.
squid_post() {
    local size=$1 hash
    shift
    bytes "$size" >"$CASE_DIR/file"
    hash=$(sha256 "$CASE_DIR/file")
    through_squid 200 /echo -H Expect: --data-binary "@$CASE_DIR/file" "$@"
    expect 'body at the origin' "$hash" "$(origin_hash 4)"
    expect 'body that came back' "$hash" "$(sha256 "$CASE_DIR/body")"
    adapted REQMOD
    adapted RESPMOD
}

squid_eicar_download() {
    through_squid 403 "$1"
    adapted REQMOD
    adapted RESPMOD 200
    grep -qi '<h1>' "$CASE_DIR/body" || fail 'no block page'
}

# Squid cannot keep a large body and allows no 204, so that the message is passed on while it is scanned.
squid_eicar_cut() {
    CURL_ENDS=18 through_squid 200 "$1"
    cmp -n "$(stat -c %s "$CASE_DIR/body")" "$CASE_DIR/body" <(bytes 1M)
}

squid_eicar_upload() {
    { eicar && bytes "${1:-0}"; } >"$CASE_DIR/file"
    # Squid 5.7 forgets the last chunk of an HTTP response that reaches it in one piece in answer to REQMOD.
    CURL_ENDS='0|18' through_squid 403 /echo -H Expect: --data-binary "@$CASE_DIR/file"
    adapted REQMOD 200
    ! grep -F "case=$CASE " "$WORK/origin.log" || fail 'it reached the origin'
}

# Control: without the ICAP server nothing passes, hence what passed above went through it.
squid_fail_closed() {
    stop scan-server || fail 'scan-server does not end on SIGTERM'
    through_squid 500 /size/1024
    ! grep -F "case=$CASE " "$WORK/origin.log" || fail 'it reached the origin'
}

# [CURL_ENDS=REGEX] through_squid STATUS PATH CURL-ARGUMENT...: 18 in CURL_ENDS stands for a body that was cut short.
through_squid() {
    local wanted=$1 url="http://127.0.0.1:$INTEROP_ORIGIN_PORT$2?case=$CASE" status end=0
    shift 2
    # -q and --noproxy: whatever the user's settings are, it is Squid that is asked.
    status=$(curl -q -sS --noproxy '' -x "127.0.0.1:$INTEROP_SQUID_PORT" --max-time 55 \
        -D "$CASE_DIR/head" -o "$CASE_DIR/body" -w '%{http_code}' "$@" "$url") || end=$?
    cat "$CASE_DIR/head"
    expect 'HTTP status' "$wanted" "$status"
    [[ $end =~ ^(${CURL_ENDS:-0})$ ]] || fail "exit status of curl: $end"
}

# origin_hash FIELD: of what the origin received (4) or sent (5).
origin_hash() { await "case=$CASE " "$WORK/origin.log" | cut -d' ' -f"$1"; }

# adapted METHOD [STATUS]: Squid sent this transaction to scan-server, with a preview, and had a good answer.
adapted() {
    local uri=icap://127.0.0.1:$INTEROP_SCAN_PORT/${1,,} status=${2:-20[04]}
    if ! await "case=$CASE $1 $uri ICAP_[A-Z_]+/$status preview=[0-9]+\$" "$WORK/squid.icap.log"; then
        grep -F "case=$CASE " "$WORK/squid.icap.log" || true
        fail "Squid logged no $1 with ICAP status $status and a preview"
    fi
}

http_header() { sed -n "s/^$1: *\([^\r]*\).*/\1/pI" "$CASE_DIR/head"; }

# --- curl, adapting-proxy, c-icap, origin -------------------------------------------------------------------------

proxy_get() {
    through_proxy "$1" 200 "$2"
    expect body "$(origin_hash 5)" "$(sha256 "$CASE_DIR/body")"
    asked_c_icap "$1" REQMOD
    asked_c_icap "$1" RESPMOD
}

proxy_post() {
    local service=$1 size=$2 hash
    shift 2
    bytes "$size" >"$CASE_DIR/file"
    hash=$(sha256 "$CASE_DIR/file")
    # An Expect of the case stands behind this one, which takes out that of curl.
    through_proxy "$service" 200 /echo -H Expect: --data-binary "@$CASE_DIR/file" "$@"
    expect 'body at the origin' "$hash" "$(origin_hash 4)"
    expect 'body that came back' "$hash" "$(sha256 "$CASE_DIR/body")"
    asked_c_icap "$service" REQMOD
    asked_c_icap "$service" RESPMOD
}

proxy_head() {
    through_proxy "$1" 200 /size/1M --head
    expect Content-Length $((1 << 20)) "$(http_header Content-Length)"
    asked_c_icap "$1" RESPMOD
}

proxy_not_modified() {
    through_proxy "$1" 304 /cached -H 'If-None-Match: "v1"'
    expect ETag '"v1"' "$(http_header ETag)"
    [ ! -s "$CASE_DIR/body" ] || fail '304 with a body'
    asked_c_icap "$1" RESPMOD
}

# RESPMOD sees nothing of what is in the tunnel.
proxy_connect() {
    through_proxy "$1" 200 /size/1M --proxytunnel
    expect body "$(origin_hash 5)" "$(sha256 "$CASE_DIR/body")"
    asked_c_icap "$1" REQMOD
    ! grep -q ' RESPMOD ' <(c_icap_log) || fail 'RESPMOD of a tunnel'
}

proxy_eicar_download() {
    through_proxy av 403 "$1"
    ! grep -qF "$(eicar)" "$CASE_DIR/body" || fail 'it came through'
    grep -qi virus "$CASE_DIR/body" || fail 'no block page'
}

proxy_eicar_upload() {
    { eicar && bytes "${1:-0}"; } >"$CASE_DIR/file"
    through_proxy av 403 /echo -H Expect: --data-binary "@$CASE_DIR/file"
    ! grep -F "case=$CASE " "$WORK/origin.log" || fail 'it reached the origin'
}

proxy_no_origin() {
    INTEROP_ORIGIN_PORT=1 through_proxy echo 502 /
}

# The server dies behind the head of its answer; nothing makes the part that came look whole. The next is refused.
proxy_killed() {
    local url="http://127.0.0.1:$INTEROP_ORIGIN_PORT/chunked/64M?case=$CASE" user end=0 i
    [ -e "$WORK/doomed.pid" ] ||
        start doomed "$INTEROP_DOOMED_PORT" "$RELEASE/scan-server" --listen "127.0.0.1:$INTEROP_DOOMED_PORT"
    curl -q -sS "$1" --noproxy '' -x "127.0.0.1:$INTEROP_PROXY_KILL_PORT" --max-time 35 --limit-rate 1M \
        -o "$CASE_DIR/body" "$url" &
    user=$!
    for ((i = 0; i < 100; i++)); do
        if [ "$(stat -c %s "$CASE_DIR/body" 2>/dev/null || echo 0)" -gt 100000 ]; then break; fi
        sleep 0.1
    done
    kill -KILL -- "-$(cat "$WORK/doomed.pid")"
    rm "$WORK/doomed.pid"
    wait "$user" || end=$?
    # Chunks without the last one, or a connection that was reset.
    [[ $end =~ ^(18|56)$ ]] || fail "exit status of curl: $end"
    [ "$(stat -c %s "$CASE_DIR/body")" -lt $((64 << 20)) ] || fail 'the body is whole'
    cmp -n "$(stat -c %s "$CASE_DIR/body")" "$CASE_DIR/body" <(bytes 64M)
    through_proxy kill 503 /size/1024
}

# through_proxy echo|av|kill STATUS PATH CURL-ARGUMENT...
through_proxy() {
    local port wanted=$2 url="http://127.0.0.1:$INTEROP_ORIGIN_PORT$3?case=$CASE" status end=0
    case $1 in
    echo) port=$INTEROP_PROXY_ECHO_PORT ;;
    av) port=$INTEROP_PROXY_AV_PORT ;;
    kill) port=$INTEROP_PROXY_KILL_PORT ;;
    esac
    shift 3
    stat -c %s "$WORK/c-icap.access.log" >"$CASE_DIR/logged" 2>/dev/null || echo 0 >"$CASE_DIR/logged"
    status=$(curl -q -sS --noproxy '' -x "127.0.0.1:$port" --max-time 55 --suppress-connect-headers \
        -D "$CASE_DIR/head" -o "$CASE_DIR/body" -w '%{http_code}' "$@" "$url") || end=$?
    cat "$CASE_DIR/head"
    expect 'HTTP status' "$wanted" "$status"
    expect 'exit status of curl' 0 "$end"
}

# asked_c_icap echo|av METHOD: c-icap logged such a transaction since the case began, and its good end.
asked_c_icap() {
    local service=$1 i
    if [ "$1" = av ]; then service=virus_scan; fi
    for ((i = 0; i < 50; i++)); do
        if c_icap_log | grep -qE "$2 .*$service.* 20[04]"; then return 0; fi
        sleep 0.1
    done
    c_icap_log
    fail "c-icap logged no $2 of $service"
}

c_icap_log() { tail -c "+$(($(cat "$CASE_DIR/logged") + 1))" "$WORK/c-icap.access.log"; }

# ------------------------------------------------------------------------------------------------------------------

main() {
    PREFIX=${1:-}
    ci/install-debian.sh
    build
    open_work
    start_origin
    start_clamd
    start_c_icap
    start_stunnel
    start_scan_server
    start_squid
    start_relay
    start_relay_squid
    start_proxies
    cases
    summary
}

if [ "${1:-}" = --case ]; then
    shift
    "$@"
else
    main "$@"
fi

#!/usr/bin/env bash
# Fuzzes every target of fuzz/ under AddressSanitizer, two at a time: one line a target, failure on any finding.
#   ci/fuzz.sh [SECONDS] [TARGET...]     SECONDS for each target, 60 when none are given
# Inputs that were found grow in target/fuzz/corpus, reproducers lie in target/fuzz/artifacts.
# Needs a nightly toolchain; cargo-fuzz is installed when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_EACH=${1:-60}
shift || true
WORK=$PWD/target/fuzz
# Inputs are small: what matters needs no more, and more only makes them slow. See tight() in fuzz/src/settings.rs.
MAX_LEN=4096
# A finding is an input that takes over a second; the rest is for a machine with other things to do.
TIMEOUT=5
# MiB for everything, the fuzzer and AddressSanitizer included; both together take about 100. By itself the sanitizer
# would keep 256 MiB of freed memory: below it keeps 16.
RSS_LIMIT=256

export ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=16:detect_leaks=0

setup() {
    if ! command -v cargo-fuzz >/dev/null; then
        cargo install cargo-fuzz --locked --debug
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    mkdir -p "$WORK/log"
    build
}

# --target-dir: the fuzz crate is a workspace of its own, its target folder would lie elsewhere.
build() {
    local log=$WORK/log/build.log start=$SECONDS
    if ! (cd fuzz && cargo +nightly fuzz build --fuzz-dir . --target-dir "$WORK/build") 2>"$log"; then
        cat "$log" >&2
        exit 1
    fi
    echo "built in $((SECONDS - start)) s"
}

# fuzz TARGET: runs it and writes its line.
fuzz() {
    local target=$1 log=$WORK/log/$1.log result=ok
    local corpus=$WORK/corpus/$target artifacts=$WORK/artifacts/$target
    mkdir -p "$corpus" "$artifacts"
    "$(binary "$target")" "$corpus" "fuzz/seeds/$target" -dict=fuzz/icap.dict \
        -max_total_time="$SECONDS_EACH" -max_len=$MAX_LEN -timeout=$TIMEOUT -rss_limit_mb=$RSS_LIMIT \
        -artifact_prefix="$artifacts/" -print_final_stats=1 >"$log" 2>&1 || result=FAILED
    printf '%-14s %9s runs %7s/s %6s features %4s MiB  %s\n' "$target" "$(figure number_of_executed_units "$log")" \
        "$(figure average_exec_per_sec "$log")" "$(features "$log")" "$(figure peak_rss_mb "$log")" "$result"
    [ $result = ok ] || explain "$log"
}

binary() { echo "$WORK/build/$(rustc +nightly -vV | sed -n 's/^host: //p')/release/$1"; }

# figure NAME LOG: what libFuzzer counted.
figure() { awk -v name="stat::$1:" '$1 == name { found = $2 } END { print found ? found : "-" }' "$2"; }

features() { sed -n 's/.* ft: \([0-9]*\) .*/\1/p' "$1" | tail -1; }

# explain LOG: what was found, and with what.
explain() {
    local found
    found=$(sed -n '/panicked at/,+3p; s/.*Test unit written to /reproducer: /p; /^SUMMARY/p; /^ERROR/p' "$1")
    cut -c1-2000 <<<"${found:-$(tail -5 "$1")}"
    return 1
}

targets() { sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | grep -v '^icap-fuzz$'; }

main() {
    setup
    export -f fuzz binary figure features explain
    export WORK SECONDS_EACH MAX_LEN TIMEOUT RSS_LIMIT
    if [ $# -eq 0 ]; then
        # shellcheck disable=SC2046
        set -- $(targets)
    fi
    # xargs runs all of them and then fails when one did.
    printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'set -euo pipefail; fuzz {}'
}

main "$@"

#!/usr/bin/env bash
# Proof that a slow, broken or hostile peer costs its own connection: peers that are killed, reset, half-closed, drip
# and flood, against a real server over loopback (benches/tests/faults).
#   ci/faults.sh [NAME]      e.g. ci/faults.sh cut or ci/faults.sh good_traffic
# One case after the other, since some of them look at the time. Under 90 s besides the build.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(uname)" = Linux ] || { echo "faults: /proc is needed to count descriptors and memory" >&2; exit 1; }
# A thousand connections and their server.
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 4096 ] || ulimit -n 4096

cargo test --quiet --release -p icap-benches --test faults --no-run
SECONDS=0
cargo test --release -p icap-benches --test faults -- --ignored --nocapture --test-threads=1 "$@"
echo "faults: all survived in ${SECONDS}s"

#!/usr/bin/env bash
# Counts the instructions of the core's hot paths under callgrind and holds them to the budgets that stand in
# benches/benches/instructions.rs.
#   ci/instructions.sh
# Needs valgrind (ci/install-debian.sh); gungraun-runner is installed when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# The runner must be of the same version as the library.
version=$(awk '/^name = "gungraun"$/ { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
if [ "$(gungraun-runner --version 2>/dev/null)" != "gungraun-runner $version" ]; then
    # A debug build: it is made in a third of the time and does next to nothing itself.
    cargo install gungraun-runner --version "$version" --locked --debug
fi
cargo bench -p icap-benches --bench instructions

#!/usr/bin/env bash
# Line coverage of icap-proto by its own tests: prints the lines that none reaches, fails below 95 %.
#   ci/coverage.sh
# Needs a few minutes. cargo-tarpaulin is installed when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
command -v cargo-tarpaulin >/dev/null || cargo install cargo-tarpaulin --locked --debug
# The tests that start a program measure another process.
cargo tarpaulin -p icap-proto --all-features --engine llvm --include-files 'crates/icap-proto/src/*' \
    --target-dir target/coverage --skip-clean --fail-under 95 --out Stdout -- --skip the_program_answers

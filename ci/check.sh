#!/usr/bin/env bash
# Formatting, lints, documentation, and the promises of icap-proto: no std, no I/O, three dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all -- --check
cargo clippy --workspace --all-targets --all-features -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Without std::net there is no way to do I/O.
cargo clippy -p icap-proto --no-default-features -- -D warnings
extra=$(cargo tree -p icap-proto -e normal --prefix none --no-dedupe --depth 1 | tail -n +2 \
    | grep -vE '^(bytes|memchr|thiserror) ' || true)
if [ -n "$extra" ]; then
    echo "icap-proto has dependencies that it must not have: $extra" >&2
    exit 1
fi

# Each feature of the facade builds alone, on either end.
for features in client server verdict scanner identity client,tls server,tls client,tower server,tower server,metrics; do
    cargo check -q -p icap --no-default-features --features "$features"
done

# The fuzz targets are a workspace of their own; they must not rot.
cargo fmt --manifest-path fuzz/Cargo.toml -- --check
cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings

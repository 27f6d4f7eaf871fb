#!/usr/bin/env bash
# Holds the dependencies of the program and of its fuzz targets against deny.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo deny --version >/dev/null 2>&1; then
    echo "SKIPPED: cargo-deny is not installed (cargo install cargo-deny --locked): licences, sources and advisories are not looked at" >&2
    exit 0
fi
cargo deny check licenses bans sources
cargo deny --manifest-path tests/fuzz/Cargo.toml --config "$PWD/deny.toml" check licenses bans sources
# The advisories are a repository of their own.
if cargo deny fetch db >/dev/null 2>&1; then
    cargo deny check advisories
    cargo deny --manifest-path tests/fuzz/Cargo.toml --config "$PWD/deny.toml" check advisories
else
    echo "SKIPPED: the advisory database cannot be fetched: known faults of the dependencies are not looked at" >&2
fi

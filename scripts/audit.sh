#!/usr/bin/env bash
# Holds the dependencies of the program and of its fuzz targets against deny.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
name=audit
. scripts/common.sh
if ! cargo deny --version >/dev/null 2>&1; then
    skipped "no cargo-deny (cargo install cargo-deny --locked)"
    exit 0
fi
cargo deny check licenses bans sources
cargo deny --manifest-path tests/fuzz/Cargo.toml --config "$PWD/deny.toml" check licenses bans sources
# The advisories are a repository of their own.
if cargo deny fetch db >/dev/null 2>&1; then
    cargo deny check advisories
    cargo deny --manifest-path tests/fuzz/Cargo.toml --config "$PWD/deny.toml" check advisories
else
    skipped "advisory database cannot be fetched"
fi

#!/usr/bin/env bash
# Holds the dependencies of the program and of its fuzz targets against deny.toml. cargo-deny is installed into .tools where it is
# missing, without optimisation: it has little to compute.
set -euo pipefail
cd "$(dirname "$0")/.."
name=audit
. scripts/common.sh
version=0.20.2
deny=.tools/bin/cargo-deny
if [ "$("$deny" --version 2>/dev/null || true)" != "cargo-deny $version" ]; then
  say "installing cargo-deny $version in .tools (some minutes)"
  if ! CARGO_TARGET_DIR="$PWD/.tools/build" cargo install --quiet --locked --debug --root .tools --version "$version" cargo-deny; then
    skipped "no cargo-deny (cargo install cargo-deny --version $version)"
    exit 0
  fi
  rm -rf .tools/build
fi
checks=(licenses bans sources)
# The advisories are a repository of their own.
if "$deny" fetch db >/dev/null 2>&1; then checks+=(advisories); else skipped "advisory database cannot be fetched"; fi
"$deny" --workspace check "${checks[@]}"
"$deny" --manifest-path tests/fuzz/Cargo.toml --config "$PWD/deny.toml" check "${checks[@]}"

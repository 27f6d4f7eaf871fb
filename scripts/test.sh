#!/usr/bin/env bash
# Runs every test of the workspace; arguments go to cargo. Says at the end how many tests could not run here, and why.
set -euo pipefail
cd "$(dirname "$0")/.."
name=test
. scripts/common.sh
if [ -z "${SEGEARTH_SKIPPED:-}" ]; then
  mkdir -p "${CARGO_TARGET_DIR:-target}"
  SEGEARTH_SKIPPED=$(realpath "${CARGO_TARGET_DIR:-target}")/skipped
  export SEGEARTH_SKIPPED
  rm -f "$SEGEARTH_SKIPPED"
fi
touch "$SEGEARTH_SKIPPED"
trap print_skipped EXIT
scripts/timed.sh cargo test --workspace "$@"

#!/usr/bin/env bash
# The unit tests under AddressSanitizer: reads and writes outside of memory, and of memory that is no longer there.
set -euo pipefail
cd "$(dirname "$0")/.."
# A folder of its own: cargo does not tell what was built so from what was not.
target=${CARGO_TARGET_DIR:-target}/sanitize
# Leaks: libraries keep what they make once. Mismatched allocators: libtorch brings its own `new` and `delete`.
export ASAN_OPTIONS=detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0
# shellcheck disable=SC2086 # several flags
RUSTC_WRAPPER="$PWD/scripts/sanitize-rustc.sh" CARGO_TARGET_DIR=$target cargo test --lib ${CARGOFLAGS:-}

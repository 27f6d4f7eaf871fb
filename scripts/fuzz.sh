#!/usr/bin/env bash
# Builds the fuzz targets on top of what the tests are built from, and lets libFuzzer run each: fuzz.sh SECONDS [TARGET…].
# What it finds lies in target/fuzz/findings; `target/debug/TARGET FILE` shows it again.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's|^path = "targets/\(.*\)\.rs"|\1|p' tests/fuzz/Cargo.toml)
target=${CARGO_TARGET_DIR:-target}
# shellcheck disable=SC2086 # several flags
RUSTC_WRAPPER="$PWD/scripts/fuzz-rustc.sh" CARGO_TARGET_DIR=$target cargo build --manifest-path tests/fuzz/Cargo.toml ${CARGOFLAGS:-}
# Every input becomes a few files for a moment: in memory, where there is such a folder.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
mkdir -p "$target/fuzz/findings"
failed=()
for name in "${targets[@]}"; do
    mkdir -p "$target/fuzz/corpus/$name"
    log=$target/fuzz/$name.log
    # No input may take 10 s or 1 GB. What is new goes to the first folder; the kept corpus is only read.
    "$target/debug/$name" "$target/fuzz/corpus/$name" "tests/fuzz/corpus/$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -dict=tests/fuzz/words.dict -artifact_prefix="$target/fuzz/findings/$name-" \
        -print_final_stats=1 >"$log" 2>&1 || failed+=("$name")
    printf '%s: %s\n' "$name" "$(grep -E '^#[0-9]+.*(DONE|INITED|pulse|NEW|REDUCE)' "$log" | tail -n 1)"
done
if [ ${#failed[@]} -gt 0 ]; then
    for name in "${failed[@]}"; do
        printf '\nFOUND by %s:\n' "$name" >&2
        tail -n 40 "$target/fuzz/$name.log" >&2
    done
    exit 1
fi

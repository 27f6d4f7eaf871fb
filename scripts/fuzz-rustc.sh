#!/usr/bin/env bash
# A rustc that lets libFuzzer see which branches of this program's own code an input takes: what cargo-fuzz does with
# `--sanitizer none`, but for our crates alone, so that the dependencies that the tests are built with serve here as well.
# cargo calls it with rustc and its arguments (RUSTC_WRAPPER).
set -euo pipefail
flags=()
for crate in segearth segearth_checkpoint segearth_error segearth_int8 segearth_upsample segearth_fuzz; do
    [[ " $* " != *" --crate-name $crate "* ]] || flags=(
        -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
    )
done
exec "$@" "${flags[@]}"

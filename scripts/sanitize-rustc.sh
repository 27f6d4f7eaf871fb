#!/usr/bin/env bash
# A rustc that has AddressSanitizer watch this program's own code, its `unsafe` blocks and what it hands to C; the dependencies
# are those that the tests are built with. cargo calls it with rustc and its arguments (RUSTC_WRAPPER).
set -euo pipefail
flags=()
if [[ " $* " == *" --crate-name segearth "* || " $* " == *" --crate-name segearth_"* ]]; then
    # The flag is kept for nightly compilers; the library behind it comes with every one.
    export RUSTC_BOOTSTRAP=1
    flags=(-Zsanitizer=address)
fi
exec "$@" "${flags[@]}"

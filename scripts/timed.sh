#!/usr/bin/env bash
# Runs a command and says, when it succeeded, how long it took and what disk the checkout takes now.
set -euo pipefail
SECONDS=0
"$@"
took=$SECONDS
disk=()
for folder in target .libtorch; do [ ! -d "$folder" ] || disk+=("$folder $(du -shL "$folder" | cut -f1)"); done
printf '%s: %d min %02d s' "$*" $((took / 60)) $((took % 60)) >&2
[ ${#disk[@]} -eq 0 ] || printf '; disk:%s' "$(printf ' %s,' "${disk[@]}" | sed 's/,$//')" >&2
printf '\n' >&2

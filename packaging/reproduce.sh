#!/usr/bin/env bash
# Builds and packs the same commit again from a clone of its own in another folder, from nothing, and lists what differs.
#   packaging/reproduce.sh [FOLDER]     what packaging/release.sh made before (default: target/package)
# Takes as long as a first build, and 4 GB of disk in TMPDIR. Changes that are not committed are not built.
set -euo pipefail
cd "$(dirname "$0")/.."
name=reproduce
. scripts/common.sh
first=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/package}")
second=$(mktemp -d)
trap 'rm -rf "$second"' EXIT
say "building again in $second"
git clone -q . "$second/a clone"
# What was fetched, pinned by SHA-256, is taken as it is.
for folder in .libtorch .tools; do [ ! -e $folder ] || ln -s "$(realpath $folder)" "$second/a clone/$folder"; done
(cd "$second/a clone" && env -u CARGO_TARGET_DIR packaging/release.sh --draft >/dev/null)
packaging/compare.sh "$first" "$second/a clone/target/package"

#!/usr/bin/env bash
# Builds and packs the same commit again in another folder, from nothing, and lists what differs: packaging/reproduce.sh FOLDER
# FOLDER holds what packaging/release.sh made before (default: target/package). Takes as long as a first build.
set -euo pipefail
cd "$(dirname "$0")/.."
name=reproduce
. scripts/common.sh
first=$(realpath "${1:-target/package}")
second=$(mktemp -d)
trap 'rm -rf "$second"' EXIT
say "building again in $second"
CARGO_TARGET_DIR=$second packaging/release.sh --draft >/dev/null
differ=0
while read -r file; do
  cmp -s "$first/$file" "$second/package/$file" || { echo "differs: $file"; differ=1; }
done < <(cd "$first" && find root -type f | sort; cd "$first" && ls -- *.tar.xz *.deb *.whl)
[ $differ = 1 ] || say "all files have the same bytes"
exit $differ

#!/usr/bin/env bash
# Packs the tree of payload.sh as target/package/segearth-VERSION-x86_64-linux.tar.xz, and the debugger's symbols beside it.
# COMPRESS=none: without compression, to try packages out.
set -euo pipefail
cd "$(dirname "$0")/.."
name=dist
. scripts/common.sh
. packaging/version.sh
out=${CARGO_TARGET_DIR:-target}/package
[ -x "$out/root/bin/segearth" ] || die "there is no $out/root" "run packaging/payload.sh first"
folder=segearth-$version-x86_64-linux
# Several threads cut the data into blocks, always the same ones whatever their number; one thread does not.
compress() { if [ "${COMPRESS:-}" = none ]; then cat; else xz -T4 -6; fi; }
# pack FROM NAME: the same bytes for the same files, whoever packs them.
pack() {
  tar -C "$1" --sort=name --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" --owner=0 --group=0 --numeric-owner --mode=go=u-w \
    --transform="s|^\.|$2|" -cf - . | compress >"$out/$2.tar.xz"
  say "$out/$2.tar.xz: $(du -h "$out/$2.tar.xz" | cut -f1)"
}
pack "$out/root" "$folder"
pack "$out/symbols" "$folder-symbols"

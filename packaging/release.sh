#!/usr/bin/env bash
# A release in one command: checks version, CHANGELOG and tree, builds and packs everything, and writes checksums.
#   packaging/release.sh [--draft]     --draft: without the checks, for trying it out
set -euo pipefail
# The same bytes whoever packs: rights of new files, and the order of names.
umask 022
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
name=release
. scripts/common.sh
. packaging/version.sh
out=${CARGO_TARGET_DIR:-target}/package
if [ "${1:-}" != --draft ]; then
  [ -z "$(git status --porcelain)" ] || die "the tree has changes that are not committed" "commit them, or try with --draft"
  grep -q "^## $version\b" CHANGELOG.md ||
    die "CHANGELOG.md has no section \`## $version\`" "rename \`## Unreleased\` to \`## $version - $(date +%F)\`, and commit"
  tag=$(git describe --tags --exact-match 2>/dev/null || true)
  [ "$tag" = "v$version" ] || die "the commit has the tag '${tag:-none}', not v$version" "git tag v$version"
  grep -q "^version: $version$" CITATION.cff || die "CITATION.cff has another version than $version" "correct it, and commit"
fi
CARGOFLAGS="--locked ${CARGOFLAGS:-}" packaging/payload.sh
packaging/archive.sh
packaging/deb.sh
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
packaging/wheel.py "$out/root" "$version" "$out"
packaging/wheel.py "$out/root" "$version" "$out" --without-libtorch
cp "$out/root/share/doc/segearth/sbom.cdx.json" "$out/segearth-$version.cdx.json"
# What this release changes, for the page of the release.
awk -v heading="## $version" 'index($0, "## ") == 1 { on = index($0, heading) == 1; next } on' CHANGELOG.md >"$out/notes.md"
(cd "$out" && sha256sum -- *.tar.xz *.deb *.whl *.cdx.json >SHA256SUMS && cat SHA256SUMS)

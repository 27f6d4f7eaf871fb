#!/usr/bin/env bash
# Packs the tree of payload.sh as target/package/segearth_VERSION_amd64.deb, for Debian 12 and Ubuntu 22.04 and later.
set -euo pipefail
cd "$(dirname "$0")/.."
name=deb
. scripts/common.sh
. packaging/version.sh
command -v dpkg-deb >/dev/null || { skipped "no dpkg-deb"; exit 0; }
out=${CARGO_TARGET_DIR:-target}/package
[ -x "$out/root/bin/segearth" ] || die "there is no $out/root" "run packaging/payload.sh first"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
tree=$out/deb
rm -rf "$tree"
mkdir -p "$tree/DEBIAN" "$tree/usr"
# Links to the same files: the tree is large.
cp -rl "$out/root/." "$tree/usr/"
mkdir -p "$tree/usr/share/zsh/vendor-completions"
mv "$tree/usr/share/zsh/site-functions/_segearth" "$tree/usr/share/zsh/vendor-completions/"
rmdir "$tree/usr/share/zsh/site-functions"
mv "$tree/usr/share/doc/segearth/LICENSE" "$tree/usr/share/doc/segearth/copyright"
for page in "$tree"/usr/share/man/man1/*.1; do gzip -9n <"$page" >"$page.gz" && rm "$page"; done
# A kibibyte for each one begun and for each folder, as dpkg counts: what the disk takes depends on the file system.
installed=$(find "$tree/usr" -printf '%y %s\n' | awk '{ kib += $1 == "d" ? 1 : int(($2 + 1023) / 1024) } END { print kib }')
cat >"$tree/DEBIAN/control" <<END
Package: segearth
Version: $version
Architecture: amd64
Maintainer: segearth developers <developers@segearth.invalid>
Installed-Size: $installed
Depends: libc6 (>= 2.34), libgcc-s1, libstdc++6 (>= 11), zlib1g, libexpat1, ca-certificates
Section: science
Priority: optional
Description: open-vocabulary segmentation of remote-sensing scenes
 Maps whole satellite and aerial scenes into classes that are named in words,
 without training: class rasters, scores and polygons. GDAL and libtorch (CPU)
 are inside; a GPU is used with the libtorch that SEGEARTH_LIBTORCH names.
END
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Z"${COMPRESS:-xz}" --build "$tree" "$out/segearth_${version}_amd64.deb" >/dev/null
rm -rf "$tree"
say "$out/segearth_${version}_amd64.deb: $(du -h "$out/segearth_${version}_amd64.deb" | cut -f1)"

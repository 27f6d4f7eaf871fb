#!/usr/bin/env bash
# Runs the recipes of the images without a registry (as root, with debootstrap): their base is a Debian 13 of debootstrap. buildah builds
# the Dockerfile; of the Apptainer definition, %post, %test and %runscript are run in a chroot. Each image must make the demo's labels.
#   packaging/test-images.sh       ROOTS=… where the clean system is kept between calls, as for test.sh
# Not tried here: docker and apptainer themselves, and the build argument TORCH.
set -euo pipefail
cd "$(dirname "$0")/.."
name=test-images
. scripts/common.sh
. packaging/version.sh
. packaging/clean-system.sh
out=$(realpath "${CARGO_TARGET_DIR:-target}/package")
archive=$out/segearth-$version-x86_64-linux.tar.xz
[ -e "$archive" ] || die "there is no $archive" "run make dist first"
work=$(mktemp -d)
base=${ROOTS:-$work/roots}/trixie
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-vfs}")
chroot=$work/apptainer
finish() {
  release_systems
  rm -rf --one-file-system "$work"
}
trap finish EXIT
clean_system trixie "$base" || exit 0
cp -a pipelines sample_data "$work/"
want=''
# same WHAT FILE: the file has the bytes of the first one
same() {
  local bytes
  bytes=$(sha256sum <"$2" | cut -c1-16)
  [ -n "$want" ] || want=$bytes
  [ "$bytes" = "$want" ] || die "$1: the labels' file is $bytes, not $want"
  say "$1: labels' file $bytes"
}
run=(run pipelines/landcover.yaml --quiet --overwrite --output map)

# --- Dockerfile -------------------------------------------------------------------------------------------------------
if command -v buildah >/dev/null; then
  build() { buildah "${storage[@]}" "$@"; }
  container=$(build from scratch)
  build add --quiet "$container" "$base" / >/dev/null
  build commit --quiet --rm "$container" docker.io/library/debian:13-slim >/dev/null
  SECONDS=0
  build bud --quiet --isolation chroot --pull-never -f packaging/Dockerfile -t segearth "$out" >"$work/log" 2>&1 ||
    { tail -n 5 "$work/log" >&2; die "the Dockerfile cannot be built"; }
  say "Dockerfile: built in $SECONDS s, $(build images --format '{{.Size}}' localhost/segearth)"
  container=$(build from --pull-never localhost/segearth)
  mkdir "$work/data"
  cp -a "$work/pipelines" "$work/sample_data" "$work/data/"
  # `buildah run` knows no entry point: it is read from the image.
  entry=$(build inspect --type image --format '{{index .OCIv1.Config.Entrypoint 0}}' localhost/segearth)
  build run --isolation chroot --volume "$work/data:/data" "$container" -- "$entry" doctor >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; die "segearth doctor fails in the image"; }
  build run --isolation chroot --volume "$work/data:/data" "$container" -- "$entry" "${run[@]}"
  same Dockerfile "$work/data/map/itaipu_labels.tif"
  build rm --all >/dev/null
else
  skipped "Dockerfile: no buildah"
fi

# --- Apptainer --------------------------------------------------------------------------------------------------------
definition=packaging/segearth.def
# section NAME: the lines of a section
section() { awk -v name="%$1" '/^%/ { on = $1 == name; next } on { sub(/^    /, ""); print }' "$definition"; }
for part in arguments files post runscript test; do [ -n "$(section $part)" ] || die "$definition has no %$part"; done
[ "$(section arguments)" = "archive=target/package/segearth-$version-x86_64-linux.tar.xz" ] || die "$definition names another version"
target=$(section files | awk '$1 == "{{" { print $4 }')
copy_system "$base" "$chroot"
cp "$archive" "$chroot$target"
inside() { chroot "$chroot" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$@"; }
{ echo "set -e"; section post; } >"$chroot/post.sh"
inside /bin/sh /post.sh >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "%post of $definition fails"; }
inside /bin/sh -c "$(section test)" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "%test of $definition fails"; }
mkdir "$chroot/data"
cp -a "$work/pipelines" "$work/sample_data" "$chroot/data/"
{ echo "cd /data"; section runscript; } >"$chroot/runscript.sh"
inside /bin/sh /runscript.sh "${run[@]}"
same "Apptainer's definition" "$chroot/data/map/itaipu_labels.tif"

#!/usr/bin/env bash
# Installs every package in clean systems (debootstrap, as root) and a clean virtual environment, and runs the demo there: the labels must
# be those of the program in the checkout, and the same files everywhere. Prints sizes and times.
#   packaging/test.sh [RELEASE…]       releases of Debian and Ubuntu; default: bookworm trixie
# PROGRAM=…  the program of the checkout, default target/release/segearth, else target/dist/segearth
# ROOTS=…    where clean systems are kept between calls
# KEYRING=…  Ubuntu's keys, see clean-system.sh
set -euo pipefail
cd "$(dirname "$0")/.."
name=test-packages
. scripts/common.sh
. packaging/version.sh
. packaging/clean-system.sh
releases=("$@")
[ ${#releases[@]} -gt 0 ] || releases=(bookworm trixie)
out=$(realpath "${CARGO_TARGET_DIR:-target}/package")
program=${PROGRAM:-${CARGO_TARGET_DIR:-target}/release/segearth}
[ -n "${PROGRAM:-}" ] || [ -x "$program" ] || program=${CARGO_TARGET_DIR:-target}/dist/segearth
archive=$out/segearth-$version-x86_64-linux.tar.xz
deb=$out/segearth_${version}_amd64.deb
[ -e "$archive" ] || die "there is no $archive" "run make dist first"
[ -x "$program" ] || die "there is no program $program to compare with" "make build, or name one in PROGRAM"
work=$(mktemp -d)
roots=${ROOTS:-$work/roots}
mkdir -p "$roots"
finish() {
  release_systems
  rm -rf --one-file-system "$work"
}
trap finish EXIT

# pixels FILE: a hash of the labels themselves: GDALs of other versions compress the same labels to other bytes.
pixels() {
  gdal_translate -q -of ENVI "$1" "$work/labels.raw" >&2
  sha256sum <"$work/labels.raw" | cut -c1-16
}
bytes() { sha256sum <"$1" | cut -c1-16; }
want='' first=''
# compare WHAT FILE
compare() {
  local pixels bytes
  pixels=$(pixels "$2") bytes=$(bytes "$2")
  [ -n "$want" ] || want=$pixels
  [ "$pixels" = "$want" ] || die "$1: the labels are $pixels, not $want as those of the checkout"
  if [ "$1" != checkout ]; then
    [ -n "$first" ] || first=$bytes
    [ "$bytes" = "$first" ] || die "$1: the file is $bytes, not $first as that of the first package"
  fi
  say "$1: labels $pixels, file $bytes"
}
# milliseconds COMMAND…: the median of eleven runs.
milliseconds() {
  local run begun
  for run in 1 2 3 4 5 6 7 8 9 10 11; do
    begun=$(date +%s%N)
    "$@" >/dev/null
    echo $((($(date +%s%N) - begun) / 10000))
  done | sort -n | awk 'NR == 6 { printf "%.2f ms", $1 / 100 }'
}
# first_window COMMAND…: from the start of the process to the end of the first window as the log has it, and to the end of the process;
# medians of eleven runs on a scene of one window, model and words in the cache.
first_window() {
  local begun window
  # shellcheck disable=SC2034 # a counter
  for run in 0 1 2 3 4 5 6 7 8 9 10 11; do
    begun=$(date +%s%N)
    window=$("$@" segment "$one" --classes 'water; forest' --output "$work/demo/one_labels.tif" --overwrite --log json 2>&1 |
      sed -n 's/.*"time":"\([^"]*\)".*"event":"progress".*"unit":"windows".*/\1/p' | head -n 1)
    # The first run fills the caches.
    [ "$run" = 0 ] || echo $((($(date +%s%N) - begun) / 1000000)) $((($(date -d "$window" +%s%N) - begun) / 1000000))
  done >"$work/times"
  echo "first window $(awk '{ print $2 }' "$work/times" | sort -n | sed -n 6p) ms, labels $(awk '{ print $1 }' "$work/times" | sort -n | sed -n 6p) ms"
}

# Results name their scene: job, scene and results have the same paths in every system.
demo=$work/demo
mkdir "$demo"
cp -a pipelines sample_data "$demo/"
job=$demo/pipelines/landcover.yaml map=$demo/map labels=$demo/map/itaipu_labels.tif one=$demo/one.tif
gdal_translate -q -srcwin 100 100 128 128 sample_data/itaipu.tif "$one"

say "sizes: $(cd "$out" && du -h --apparent-size -- *.tar.xz *.deb *.whl 2>/dev/null | awk '{ print $2, $1 }' | paste -sd, | sed 's/,/, /g')"
SEGEARTH_CACHE=$work/cache "$program" run "$job" --quiet --output "$map"
compare checkout "$labels"
rm -r "$map"

# --- clean systems ----------------------------------------------------------------------------------------------------
# in_root ROOT WHAT PROGRAM
in_root() {
  local inside="$3 doctor >/root/doctor.txt && $3 run $job --quiet --output $map"
  mkdir -p "$1$work"
  cp -a "$demo" "$1$work/"
  chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/bin:/bin sh -c "$inside" ||
    { cat "$1/root/doctor.txt" >&2; die "$2 does not work"; }
  compare "$2" "$1$labels"
  say "$2: segearth --help $(milliseconds chroot "$1" "$3" --help), $(first_window chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/bin:/bin "$3")"
}
for release in "${releases[@]}"; do
  base=$roots/$release
  clean_system "$release" "$base" || continue
  for package in archive deb; do
    root=$work/$release-$package
    copy_system "$base" "$root"
    apt=(chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
    if [ $package = archive ]; then
      "${apt[@]}" libexpat1 ca-certificates >"$work/apt.log" 2>&1 || { tail -n 3 "$work/apt.log" >&2; die "apt failed in $release"; }
      tar -C "$root/opt" -xf "$archive"
      in_root "$root" "$release, archive" "/opt/segearth-$version-x86_64-linux/bin/segearth"
    else
      cp "$deb" "$root/root/segearth.deb"
      "${apt[@]}" /root/segearth.deb >"$work/apt.log" 2>&1 || { tail -n 5 "$work/apt.log" >&2; die "the .deb cannot be installed in $release"; }
      in_root "$root" "$release, .deb" /usr/bin/segearth
      chroot "$root" dpkg -r segearth >/dev/null 2>&1 || die "the .deb cannot be removed in $release"
      [ ! -e "$root/usr/lib/segearth" ] || die "removing the .deb leaves files in $release"
    fi
    release_systems
    rm -rf --one-file-system "$root"
  done
done

# --- a virtual environment --------------------------------------------------------------------------------------------
wheel=$out/segearth-$version-py3-none-manylinux_2_34_x86_64.whl
if [ -e "$wheel" ] && python3 -m venv "$work/venv" 2>/dev/null; then
  "$work/venv/bin/pip" install -q --disable-pip-version-check --no-index "$wheel"
  "$work/venv/bin/python" -m segearth --version >/dev/null
  SEGEARTH_CACHE=$work/venv-cache "$work/venv/bin/segearth" run "$job" --quiet --output "$map"
  compare "wheel" "$labels"
  rm -r "$map"
  say "wheel: segearth --help $(milliseconds "$work/venv/bin/segearth" --help), $(SEGEARTH_CACHE=$work/venv-cache first_window "$work/venv/bin/segearth")"
  # The wheel without libtorch, with a torch in the environment: files of the checkout's libtorch where PyTorch would have them.
  lean=$(ls "$out"/segearth-*+torch-*.whl 2>/dev/null || true)
  if [ -n "$lean" ]; then
    "$work/venv/bin/pip" uninstall -q -y segearth
    "$work/venv/bin/pip" install -q --disable-pip-version-check --no-index --no-deps "$lean"
    ! "$work/venv/bin/segearth" schema >/dev/null 2>"$work/refused" || die "the wheel without libtorch runs without one"
    grep -q "no libtorch 2.11" "$work/refused" || die "the wheel without libtorch fails with: $(cat "$work/refused")"
    packages=$(echo "$work"/venv/lib/python3*/site-packages)
    mkdir -p "$packages/torch"
    ln -s "$(realpath "${LIBTORCH:-.libtorch}")/lib" "$packages/torch/lib"
    echo "__version__ = '2.11.0+cu130'" >"$packages/torch/version.py"
    SEGEARTH_CACHE=$work/venv-cache "$work/venv/bin/segearth" run "$job" --quiet --output "$map"
    compare "wheel without libtorch, beside a torch" "$labels"
  fi
else
  skipped "virtual environment: no wheel, or no venv"
fi
say "all packages compute the same labels"

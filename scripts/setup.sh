#!/usr/bin/env bash
# Brings a machine to where `cargo build` works. Safe to run again: every step looks first whether it is needed.
#   scripts/setup.sh            system packages, and libtorch (CPU half) in .libtorch/
#   CUDA=1 scripts/setup.sh     libtorch with its CUDA half
# An existing LIBTORCH (2.11.0) is respected: nothing is downloaded then.
set -euo pipefail
cd "$(dirname "$0")/.."
name=setup
. scripts/common.sh
case "${CUDA:-}" in
  '' | 0 | no | off | false) half=cpu ;;
  1 | yes | on | true) half=cuda ;;
  *) die "CUDA=$CUDA is neither 0 nor 1" ;;
esac
# Two at once (say `make -j`) take turns.
exec 9<scripts/setup.sh
flock 9

own_libtorch() { [ -n "${LIBTORCH:-}" ] || [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; }

# --- system packages, by what they are wanted for ------------------------------------------------------------------
missing_packages() {
  command -v make >/dev/null || echo make
  command -v pkg-config >/dev/null || echo pkg-config
  # A c++ alone may be clang's, with no standard library to compile against.
  echo '#include <string>' | ${CXX:-c++} -std=c++17 -x c++ -fsyntax-only - 2>/dev/null || echo g++
  command -v gdalinfo >/dev/null || echo gdal-bin
  { command -v pkg-config >/dev/null && pkg-config --exists gdal; } || echo libgdal-dev
  if ! own_libtorch && ! scripts/libtorch.sh "$half" --is-there; then
    command -v unzip >/dev/null || echo unzip
    find_pip || echo python3-pip
  fi
}

# Sets the array `as_root`, or fails where this user may not install packages.
may_install() {
  command -v apt-get >/dev/null || return 1
  as_root=()
  [ "$(id -u)" != 0 ] || return 0
  as_root=(sudo)
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

mapfile -t packages < <(missing_packages)
if [ ${#packages[@]} -gt 0 ]; then
  may_install || die "not installed: ${packages[*]} (names as in Debian 12)" \
    "install them, as root: apt-get install ${packages[*]}; then run this again"
  say "installing ${packages[*]}"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # A broken list of some other repository need not matter: whether the packages are there is what counts.
  "${as_root[@]}" apt-get update -q >>"$log" 2>&1 || say "warning: apt-get update failed; trying with the lists there are"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    "${packages[@]}" </dev/null >>"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    die "apt-get could not install ${packages[*]}" "the lines above are apt-get's own; install these packages, then run this again"
  }
  hash -r
  mapfile -t packages < <(missing_packages)
  [ ${#packages[@]} -eq 0 ] || die "still missing after apt-get installed it: ${packages[*]}" \
    "does CXX, PATH or PKG_CONFIG_PATH point past it?"
fi

gdal=$(pkg-config --modversion gdal)
case "$gdal" in
  3.[4-9] | 3.[4-9].* | 3.1[0-2] | 3.1[0-2].*) ;;
  *) die "GDAL is $gdal; the bindings know 3.4 to 3.12" "install libgdal-dev of such a version, or point PKG_CONFIG_PATH to its gdal.pc" ;;
esac

# --- Rust -----------------------------------------------------------------------------------------------------------
command -v cargo >/dev/null || die "cargo is missing" "install Rust (https://rustup.rs), then run this again"
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(cargo --version | awk '{ print $2 }')
[ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
  die "cargo is $found; $wanted or later is needed" "update it: rustup update stable"

# --- libtorch -------------------------------------------------------------------------------------------------------
scripts/libtorch.sh "$half"
say "everything is there"

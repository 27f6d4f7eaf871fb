#!/usr/bin/env bash
# Brings a machine to where `cargo build` works. Safe to run again: every step looks first whether it is needed.
#   scripts/setup.sh            system packages, libtorch (CPU half) in .libtorch/
#   CUDA=1 scripts/setup.sh     libtorch with its CUDA half
# An existing LIBTORCH (2.11.0) is respected: nothing is downloaded then.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# --- system packages -------------------------------------------------------------------------------------------
packages=()
command -v pkg-config >/dev/null || packages+=(pkg-config)
command -v g++ >/dev/null || packages+=(g++)
command -v unzip >/dev/null || packages+=(unzip)
command -v curl >/dev/null || packages+=(curl)
command -v gdalinfo >/dev/null || packages+=(gdal-bin)
pkg-config --exists gdal 2>/dev/null || packages+=(libgdal-dev)
command -v pip >/dev/null || command -v pip3 >/dev/null || [ -n "${LIBTORCH:-}" ] || packages+=(python3-pip)
if [ ${#packages[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    say "installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  else
    die "please install: ${packages[*]} (names as in Debian 12), then run this again"
  fi
fi
command -v cargo >/dev/null || die "cargo is missing: install Rust 1.90 or later (https://rustup.rs), then run this again"

# --- libtorch ---------------------------------------------------------------------------------------------------
half=cpu
[ "${CUDA:-0}" = 0 ] || half=cuda
if [ -n "${LIBTORCH:-}" ]; then
  [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || die "LIBTORCH=$LIBTORCH holds no lib/libtorch_cpu.so"
  say "using libtorch in $LIBTORCH"
  exit 0
fi
requirements=scripts/libtorch-$half.txt
want="$half $(sha256sum "$requirements" | cut -d' ' -f1)"
if [ "$(cat .libtorch/.complete 2>/dev/null || true)" = "$want" ]; then
  exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] || die "the pinned libtorch is for Linux on x86-64; set LIBTORCH to a libtorch 2.11.0 of your own"
pip=$(command -v pip3 || command -v pip)
work=.libtorch.partial
rm -rf "$work"
mkdir -p "$work/wheels" "$work/tree"
trap 'rm -rf "$work"' EXIT
say "fetching libtorch 2.11.0 ($half half), pinned by SHA-256"
"$pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --python-version 3.12 --implementation cp --abi cp312 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
  --platform manylinux_2_24_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
  -d "$work/wheels" -r "$requirements"
say "unpacking"
torch_files=(torch/include/\* torch/lib/libc10.so torch/lib/libtorch.so torch/lib/libtorch_cpu.so
  torch/lib/libtorch_global_deps.so torch/lib/libgomp.so.1)
[ "$half" = cpu ] || torch_files=(torch/include/\* torch/lib/\*)
for wheel in "$work"/wheels/*.whl; do
  case "$wheel" in
    */torch-*) unzip -q -o "$wheel" "${torch_files[@]}" -d "$work/tree" ;;
    *) unzip -q -o "$wheel" 'nvidia/*.so*' -d "$work/tree" ;;
  esac
done
mkdir -p "$work/libtorch/lib"
mv "$work/tree/torch/include" "$work/libtorch/include"
mv "$work"/tree/torch/lib/* "$work/libtorch/lib/"
find "$work/tree/nvidia" -name '*.so*' -exec mv -t "$work/libtorch/lib/" {} +
printf '%s\n' "$want" > "$work/libtorch/.complete"
rm -rf .libtorch
mv "$work/libtorch" .libtorch
say "libtorch is in .libtorch ($(du -sh .libtorch | cut -f1))"

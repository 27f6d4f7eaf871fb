#!/usr/bin/env bash
# Puts libtorch 2.11.0 into .libtorch/, from the wheels pinned by version and SHA-256 in scripts/libtorch-*.txt.
#   scripts/libtorch.sh cpu|cuda               fetches what is missing; an existing LIBTORCH is checked instead
#   scripts/libtorch.sh cpu|cuda --is-there    says by its exit code whether there is nothing to do
#   scripts/libtorch.sh cpu --licences         puts the licences of the CPU half into .tools/libtorch-licences/, for packages
# The CUDA half contains the CPU half, so it also serves where only that is asked for. Wheels that came by other means
# may be laid into .libtorch.partial/wheels: what has the right SHA-256 is not fetched again.
set -euo pipefail
cd "$(dirname "$0")/.."
name=setup
. scripts/common.sh
version=2.11.0
half=${1:?cpu or cuda}

# stamp HALF: the content of .libtorch/.complete once all of that half's wheels are unpacked
stamp() { printf '%s %s' "$1" "$(sha256sum "scripts/libtorch-$1.txt" | cut -d' ' -f1)"; }

is_there() {
  local have
  have=$(cat .libtorch/.complete 2>/dev/null) || return 1
  [ -e .libtorch/lib/libtorch_cpu.so ] && { [ "$have" = "$(stamp "$half")" ] || [ "$have" = "$(stamp cuda)" ]; }
}

# headers_version INCLUDE: what the headers say, empty where they do not
headers_version() {
  local part macro numbers=()
  for part in MAJOR MINOR PATCH; do
    macro=$(grep -hsE "^#define TORCH_VERSION_$part [0-9]+" "$1"/torch/headeronly/version.h \
      "$1"/torch/csrc/api/include/torch/version.h | head -n 1) || return 0
    numbers+=("${macro##* }")
  done
  (IFS=. && echo "${numbers[*]}")
}

# Names the libraries that LIBRARY… cannot find, libcuda.so.1 aside: that one belongs to the driver.
unresolved() { { ldd "$@" 2>/dev/null || true; } | awk '/not found/ && $1 != "libcuda.so.1" { print $1 }' | sort -u | paste -sd' '; }

check_own() {
  local found
  if [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; then
    found=$(python3 -c 'import torch; print(torch.__version__)' 2>/dev/null) ||
      die "LIBTORCH_USE_PYTORCH is set, but python3 cannot import torch" "activate the environment that has PyTorch $version, or unset it"
    where="the PyTorch of python3"
  else
    where="LIBTORCH=$LIBTORCH"
    case "$LIBTORCH" in
      /*) ;;
      *) die "$where is a relative path; cargo needs the absolute one" "export LIBTORCH=$PWD/$LIBTORCH" ;;
    esac
    [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || die "$where holds no lib/libtorch_cpu.so" \
      "LIBTORCH is the folder above lib/ and include/; unset it to have libtorch fetched"
    [ -d "$LIBTORCH/include/torch" ] || die "$where holds no include/torch: there is nothing to compile against"
    found=$(cat "$LIBTORCH/build-version" 2>/dev/null || headers_version "$LIBTORCH/include")
    lost=$(unresolved "$LIBTORCH/lib/libtorch_cpu.so")
    [ -z "$lost" ] || die "$where: libtorch_cpu.so does not find $lost" "take a complete libtorch, or set LD_LIBRARY_PATH to where they are"
    [ "$half" = cpu ] || [ -e "$LIBTORCH/lib/libtorch_cuda.so" ] ||
      die "CUDA=1, but $where has no CUDA half (lib/libtorch_cuda.so)" "unset LIBTORCH to have both halves fetched"
  fi
  if [ "${found%%+*}" != "$version" ]; then
    [ -n "${LIBTORCH_BYPASS_VERSION_CHECK:-}" ] || die "$where is libtorch ${found:-of an unknown version}; $version is needed" \
      "unset it to have libtorch fetched, or set LIBTORCH_BYPASS_VERSION_CHECK=1 to try all the same"
    say "warning: $where is libtorch ${found:-of an unknown version}; $version is expected"
  fi
  say "using libtorch $found of $where; wanted is $version"
}

# Sets `pending` to the lines of the requirements whose wheel is not in FOLDER; files that are no wheel of either half go.
pending_in() {
  local folder=$1 file sum line sums=' '
  for file in "$folder"/*; do
    [ -f "$file" ] || continue
    sum=$(sha256sum "$file" | cut -d' ' -f1)
    if grep -q "$sum" scripts/libtorch-*.txt; then sums+="$sum "; else rm -f "$file"; fi
  done
  pending=()
  while read -r line; do
    case "$line" in '' | '#'*) continue ;; esac
    case "$sums" in *" ${line##*sha256:} "*) ;; *) pending+=("$line") ;; esac
  done <"$requirements"
}

fetch() {
  local tag platforms=()
  pending_in "$work/wheels"
  [ ${#pending[@]} -gt 0 ] || return 0
  find_pip || die "there is no pip (20.3 or later)" "install python3-pip, then run this again"
  say "fetching libtorch $version ($half half; wheels to come: ${#pending[@]}), pinned by SHA-256"
  # The wheels are chosen for Linux on x86-64 whatever Python this pip runs under: only the libraries are wanted.
  for tag in _2_28 _2_27 _2_25 _2_24 _2_18 _2_17 2014 _2_12 2010; do platforms+=(--platform "manylinux${tag}_x86_64"); done
  printf '%s\n' "${pending[@]}" >"$work/pending.txt"
  # No cache (it would double the disk taken), and temporary files here: /tmp is often small.
  TMPDIR="$PWD/$work/tmp" PIP_REQUIRE_VIRTUALENV=0 "${pip[@]}" download --quiet --disable-pip-version-check --no-cache-dir \
    --no-deps --only-binary=:all: --require-hashes --python-version 3.12 --implementation cp --abi cp312 --abi none \
    "${platforms[@]}" -d "$work/wheels" -r "$work/pending.txt" >&2 ||
    die "fetching libtorch failed (pip's words are above)" \
      "run this again: what has arrived is kept. Without a network, lay these wheels into $work/wheels: $(sed 's/ .*//' "$work/pending.txt" | paste -sd' ')"
  pending_in "$work/wheels"
  [ ${#pending[@]} -eq 0 ] || die "these did not arrive whole: ${pending[*]}"
}

# keep_licences WHEEL FOLDER
keep_licences() {
  local file name package=${1##*/}
  mkdir -p "$2"
  unzip -Z1 "$1" '*.dist-info/*' | grep -iE '/(licen[cs]es?/.*[^/]|(licen[cs]e|notice)[^/]*)$' | while read -r file; do
    name=${file#*.dist-info/}
    name=${name#licenses/}
    unzip -p "$1" "$file" >"$2/${package%%-*}-${name//\//_}"
  done
}

# Headers and libraries only; what the program never loads (Python, profiling, multi-GPU transports) stays out.
unpack() {
  local wheel keep tree="$work/tree"
  rm -rf "$tree" "$work/libtorch"
  mkdir -p "$tree" "$work/libtorch/lib"
  say "unpacking"
  for wheel in "$work"/wheels/*.whl; do
    grep -q "$(sha256sum "$wheel" | cut -d' ' -f1)" "$requirements" || continue
    case "${wheel##*/}" in
      torch-*)
        keep=(torch/include/\* torch/lib/libc10.so torch/lib/libtorch.so torch/lib/libtorch_cpu.so
          torch/lib/libtorch_global_deps.so torch/lib/libgomp.so.1)
        [ "$half" = cpu ] || keep+=(torch/lib/libc10_cuda.so torch/lib/libtorch_cuda.so torch/lib/libtorch_cuda_linalg.so
          torch/lib/libtorch_nvshmem.so torch/lib/libcaffe2_nvrtc.so)
        ;;
      *) keep=(nvidia/\*/lib/lib\*.so\*) ;;
    esac
    unzip -q -o "$wheel" "${keep[@]}" -d "$tree" || die "unpacking ${wheel##*/} failed"
  done
  find "$tree/nvidia" \( -name 'libcheckpoint.so' -o -name 'libnvperf_*' -o -name 'libpcsamplingutil.so' -o -name 'libnvblas.so*' \
    -o -name 'libcufftw.so*' -o -name 'libcusolverMg.so*' -o -name 'libcufile_rdma.so*' -o -name '*.alt.so*' \) -delete
  mv "$tree/torch/include" "$work/libtorch/include"
  find "$tree" -name 'lib*.so*' -exec mv -t "$work/libtorch/lib/" {} +
  printf '%s\n' "$version" >"$work/libtorch/build-version"
}

verify() {
  local lib lost
  for lib in "$work"/libtorch/lib/libtorch_{cpu,cuda,cuda_linalg}.so "$work/libtorch/lib/libcaffe2_nvrtc.so"; do
    [ -e "$lib" ] || continue
    lost=$(unresolved "$lib")
    [ -z "$lost" ] || die "${lib##*/} does not find $lost"
  done
}

if [ "${2:-}" = --is-there ]; then is_there && exit 0 || exit 1; fi
licences=.tools/libtorch-licences
keep_all_licences() {
  local wheel
  for wheel in "$work"/wheels/*.whl; do
    grep -q "$(sha256sum "$wheel" | cut -d' ' -f1)" "$requirements" || continue
    keep_licences "$wheel" "$licences"
  done
  touch "$licences/.complete"
}
if [ "${2:-}" = --licences ]; then
  [ ! -e "$licences/.complete" ] || exit 0
  requirements=scripts/libtorch-$half.txt work=.libtorch.partial
  mkdir -p "$work/wheels" "$work/tmp"
  need_disk . 1200 "the wheels of libtorch, for their licences,"
  fetch
  keep_all_licences
  rm -rf "$work"
  exit 0
fi
if [ -n "${LIBTORCH:-}${LIBTORCH_USE_PYTORCH:-}" ]; then
  check_own
  exit 0
fi
if is_there; then
  say "using libtorch $(cat .libtorch/build-version 2>/dev/null || echo "$version") in .libtorch; wanted is $version"
  exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] ||
  die "the pinned libtorch is for Linux on x86-64; this is $(uname -sm)" "set LIBTORCH to the folder of a libtorch $version of your own"
requirements=scripts/libtorch-$half.txt
work=.libtorch.partial
rm -rf "$work/tmp"
mkdir -p "$work/wheels" "$work/tmp"
here=$(du -sm "$work/wheels" | cut -f1)
if [ "$half" = cpu ]; then need_disk . $((1200 - here)) "libtorch's CPU half (0.5 GB once unpacked)"; else need_disk . $((6500 - here)) "libtorch with CUDA (3.4 GB once unpacked)"; fi
fetch
unpack
verify
# Packages need them, and the wheels go.
[ "$half" != cpu ] || keep_all_licences
stamp "$half" >"$work/libtorch/.complete"
rm -rf .libtorch
mv "$work/libtorch" .libtorch
rm -rf "$work"
say "libtorch $version ($half half) is in .libtorch ($(du -sh .libtorch | cut -f1))"

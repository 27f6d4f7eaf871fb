#!/usr/bin/env bash
# Measures segearth beside public tools that do the same step, in turns: polygons, sieve, COG, centre lines, confusion matrix,
# blending. Python packages are installed into target/peers; GDAL's programs are used where they are installed.
#
#   benches/peers.sh [--side PIXELS] [--rounds N] [--only STEP,…]
#
# SEGEARTH names another program than target/release/segearth.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC2034 # for the messages of common.sh
name=peers
# shellcheck source=scripts/common.sh
. scripts/common.sh

program=${SEGEARTH:-target/release/segearth}
[ -x "$program" ] || die "$program does not exist" "run make build, or set SEGEARTH to an installed program"
packages=(numpy==2.4.6 rasterio==1.4.4 rio-cogeo==7.0.4 scikit-image==0.26.0 scikit-learn==1.9.1 sknw==0.15)
venv=target/peers
if [ "$(cat "$venv/packages" 2>/dev/null || true)" != "${packages[*]}" ]; then
  need_disk . 1500 "the peers"
  say "installing ${packages[*]} into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
  printf '%s' "${packages[*]}" >"$venv/packages"
fi
exec "$venv/bin/python" benches/peers.py --segearth "$program" "$@"

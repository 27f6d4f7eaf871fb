#!/usr/bin/env bash
# Installs the plugin's zip in a clean profile of QGIS and runs every algorithm on the sample data, without a screen.
#   scripts/test-qgis.sh PROGRAM          (installs Debian's QGIS with apt where it may, about 1 GB)
# Skips, loudly, where QGIS cannot be had.
set -euo pipefail
program=$(realpath "${1:?usage: scripts/test-qgis.sh PROGRAM}")
cd "$(dirname "$0")/.."
name=test-qgis
. scripts/common.sh
skip() { skipped "$1"; exit 0; }
has_pyqgis() { command -v qgis_process >/dev/null && /usr/bin/python3 -c 'import qgis.core' 2>/dev/null; }

if ! has_pyqgis; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "QGIS: not installed, and no apt that may install it"
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends qgis python3-qgis qgis-providers; } >/dev/null 2>&1 ||
        skip "QGIS: apt cannot install it"
    has_pyqgis || skip "QGIS: installed, but Python does not find it"
fi

work=$(mktemp -d)
trap '[ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
scripts/qgis-plugin.sh "$program" "$work/segearth.zip"
profile=$work/home/.local/share/QGIS/QGIS3/profiles/default/python/plugins
mkdir -p "$profile" "$work/run"
chmod 700 "$work/run"
# QGIS writes statistics beside the rasters that it opens.
cp -r sample_data "$work/sample_data"
python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$work/segearth.zip" "$profile"

export HOME=$work/home XDG_RUNTIME_DIR=$work/run QT_QPA_PLATFORM=offscreen SEGEARTH=$program PYTHONDONTWRITEBYTECODE=1
export SEGEARTH_CACHE=${SEGEARTH_CACHE:-$work/cache}
# The Python of Debian's QGIS, whatever comes first on the PATH.
export PATH=/usr/bin:$PATH
# Debian's wrapper adds an option that qgis_process does not know.
process=$(command -v qgis_process.bin || command -v qgis_process)
"$process" plugins enable segearth >"$work/enable.txt" 2>&1 || { cat "$work/enable.txt" >&2; exit 1; }
"$process" list 2>/dev/null >"$work/list.txt"
for algorithm in segment run vectorize learn change evaluate; do
    grep -q "segearth:$algorithm" "$work/list.txt" || { echo "FAILED: qgis_process does not list segearth:$algorithm" >&2; exit 1; }
done
# One through qgis_process itself, the others in one process of Python.
"$process" run segearth:vectorize -- LABELS="$work/sample_data"/village_buildings.tif RECIPE=0 CLASS=1 OUTPUT="$work/houses.gpkg" \
    >"$work/vectorize.txt" 2>&1 || { cat "$work/vectorize.txt" >&2; exit 1; }
[ -s "$work/houses.gpkg" ] || { cat "$work/vectorize.txt" >&2; echo "FAILED: no houses.gpkg" >&2; exit 1; }
/usr/bin/python3 qgis/tests/run.py "$profile" "$work/sample_data" "$work/results" ${PICTURES:+"$(realpath -m "$PICTURES")"}
echo "test-qgis: the plugin installs in a clean profile of $("$process" --version 2>/dev/null | head -n 1), and all algorithms run" >&2

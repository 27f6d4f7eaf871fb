#!/usr/bin/env bash
# Makes the zip of the QGIS plugin: its files, the commands of the program for forms without a program, and the licence.
#   scripts/qgis-plugin.sh PROGRAM ZIP
set -euo pipefail
program=$(realpath "${1:?usage: scripts/qgis-plugin.sh PROGRAM ZIP}")
zip=$(realpath -m "${2:?usage: scripts/qgis-plugin.sh PROGRAM ZIP}")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r qgis/segearth "$work/segearth"
find "$work" -name __pycache__ -prune -exec rm -rf {} +
cp LICENSE "$work/segearth/"
"$program" reference json >"$work/segearth/commands.json"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
grep -qx "version=$version" "$work/segearth/metadata.txt" || { echo "qgis/segearth/metadata.txt has not the version $version" >&2; exit 1; }
mkdir -p "$(dirname "$zip")"
rm -f "$zip"
python3 - "$work" "$zip" <<'PYTHON'
import os, sys, zipfile
work, target = sys.argv[1:]
with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
    for folder, _, names in sorted(os.walk(work)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            package.write(path, os.path.relpath(path, work))
PYTHON
echo "$zip" >&2

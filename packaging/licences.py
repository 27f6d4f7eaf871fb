#!/usr/bin/env python3
"""Collects the licences of everything in a package: crates, libtorch, NVIDIA's runtime, GDAL and its libraries.

    packaging/licences.py WHEELS LIBTORCH_LICENCES FOLDER

WHEELS is the folder with the unpacked wheels of packaging/wheels.txt. Texts come from the packages themselves, and for GDAL's libraries
from the machine's own copies of them (/usr/share/doc/PACKAGE/copyright), where it has them.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

TARGET = "x86_64-unknown-linux-gnu"
NAMES = re.compile(r"^(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)
# Libraries inside rasterio's wheel: licence, and packages of Debian and Ubuntu with its text.
LIBRARIES = {
    "gdal": ("MIT", "libgdal"), "proj": ("MIT", "libproj"), "geos": ("LGPL-2.1-or-later", "libgeos"),
    "geos_c": ("LGPL-2.1-or-later", "libgeos-c"), "tiff": ("libtiff", "libtiff"), "jpeg": ("IJG AND BSD-3-Clause", "libjpeg"),
    "png16": ("libpng-2.0", "libpng16"), "webp": ("BSD-3-Clause", "libwebp"), "sharpyuv": ("BSD-3-Clause", "libwebp"),
    "openjp2": ("BSD-2-Clause", "libopenjp2"), "hdf5": ("BSD-3-Clause", "libhdf5"), "hdf5_hl": ("BSD-3-Clause", "libhdf5"),
    "netcdf": ("BSD-3-Clause", "libnetcdf"), "sqlite3": ("blessing", "libsqlite3"), "curl": ("curl", "libcurl"),
    "nghttp2": ("MIT", "libnghttp2"), "ssl": ("Apache-2.0", "libssl"), "crypto": ("Apache-2.0", "libssl"),
    "zstd": ("BSD-3-Clause", "libzstd"), "lzma": ("0BSD", "liblzma"), "deflate": ("MIT", "libdeflate"),
    "Lerc": ("Apache-2.0", "liblerc"), "aec": ("BSD-2-Clause", "libaec"), "sz": ("BSD-2-Clause", "libaec"),
    "blosc": ("BSD-3-Clause", "libblosc"), "gif": ("MIT", "libgif"), "json-c": ("MIT", "libjson-c"),
    "pcre2-8": ("BSD-3-Clause", "libpcre2"),
}


def crates() -> list[dict]:
    """The crates that are linked into the program, by name and version."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    data = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    start = next(id for id, package in packages.items() if package["name"] == "segearth")
    found, todo = set(), [start]
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found.add(node)
        for dependency in nodes[node]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    outside = [packages[id] for id in found if packages[id]["source"]]
    return sorted(outside, key=lambda package: (package["name"], package["version"]))


def of_crates(folder: Path) -> None:
    texts: dict[str, list[str]] = {}
    lines = []
    for crate in crates():
        lines.append(f"{crate['name']} {crate['version']}: {crate['license'] or 'see its file'}  {crate['repository'] or ''}".rstrip())
        for path in sorted(Path(crate["manifest_path"]).parent.iterdir()):
            if NAMES.match(path.name) and path.is_file():
                text = path.read_text(errors="replace").strip()
                texts.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    parts = ["Crates in the program, and under which licence each may be used.\n", "\n".join(lines)]
    parts += [f"\n{'=' * 100}\n{', '.join(names)}\n{'=' * 100}\n{text}" for text, names in sorted(texts.items())]
    (folder / "crates.txt").write_text("\n".join(parts) + "\n")


def of_gdal(wheels: Path, folder: Path) -> None:
    lines = ["# GDAL and its libraries, from the wheel of rasterio", "", "| library | file | licence |", "|---|---|---|"]
    texts = Path("/usr/share/doc")
    for path in sorted((wheels / "rasterio.libs").iterdir()):
        name = re.match(r"lib(.+?)-[0-9a-f]{8}\.so", path.name).group(1)
        licence, package = LIBRARIES[name]  # a library without an entry needs one
        lines.append(f"| {name} | {path.name} | {licence} |")
        copies = sorted(texts.glob(f"{package}[0-9-]*/copyright")) or sorted(texts.glob(f"{package}*/copyright"))
        if copies:
            shutil.copy(copies[0], folder / f"{name}.txt")
    for name in ("LGPL-2.1", "Apache-2.0"):
        common = Path("/usr/share/common-licenses") / name
        if common.exists():
            shutil.copy(common, folder / f"{name}.txt")
    shutil.copy(wheels / "rasterio/gdal_data/LICENSE.TXT", folder / "gdal.txt")
    shutil.copy(next(wheels.glob("rasterio-*.dist-info")) / "licenses/LICENSE.txt", folder / "rasterio.txt")
    lines += ["", "GEOS is used under the LGPL as a library of its own, which may be replaced by another build of it.", ""]
    (folder / "gdal-libraries.md").write_text("\n".join(lines))


def of_libtorch(kept: Path, folder: Path) -> None:
    for path in sorted(kept.iterdir()):
        if not path.name.startswith("."):
            shutil.copy(path, folder / path.name)


def main() -> None:
    wheels, libtorch, folder = map(Path, sys.argv[1:4])
    of_crates(folder)
    of_gdal(wheels, folder)
    of_libtorch(libtorch, folder)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Packs the tree of payload.sh as a wheel: `pip install` puts the launcher on the PATH and everything else into site-packages.

    packaging/wheel.py ROOT VERSION FOLDER [--without-libtorch]

The wheel holds no Python but a module that starts the program; it fits every Python 3. Without libtorch it is a quarter of the size and
needs torch 2.11 in the same environment.
"""

import argparse
import base64
import hashlib
import os
import time
import zipfile
from pathlib import Path

# What libtorch brings; GDAL's libraries are the rest.
TORCH = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so", "libcupti.so")
# The glibc that the program needs; see payload.sh.
TAG = "py3-none-manylinux_2_34_x86_64"

MAIN = '''"""Starts the program `segearth` with the arguments of this module."""

import os
import sys
import sysconfig
from pathlib import Path

program = Path(sysconfig.get_path("scripts"), "segearth")
os.execv(program, [str(program), *sys.argv[1:]])
'''


def metadata(version: str, bundled: bool, readme: str) -> str:
    requires = "" if bundled else "Requires-Dist: torch==2.11.*\n"
    return (
        f"Metadata-Version: 2.1\nName: segearth\nVersion: {version}\n"
        "Summary: Open-vocabulary segmentation of whole remote-sensing scenes, without training\n"
        "License: MIT\nRequires-Python: >=3.8\n" + requires +
        "Classifier: Environment :: Console\nClassifier: Operating System :: POSIX :: Linux\n"
        "Classifier: Topic :: Scientific/Engineering :: GIS\nDescription-Content-Type: text/markdown\n\n" + readme
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("version")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-libtorch", action="store_true")
    args = parser.parse_args()
    bundled = not args.without_libtorch
    # Versions of local builds sort after the release: the same number, another content.
    version = args.version if bundled else f"{args.version}+torch"
    info = f"segearth-{version}.dist-info"
    epoch = max(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())), 315532800)
    date = time.gmtime(epoch)[:6]
    records = []
    target = args.folder / f"segearth-{version}-{TAG}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as wheel:

        def add(name: str, content: bytes, mode: int = 0o644) -> None:
            entry = zipfile.ZipInfo(name, date)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_STORED if os.environ.get("COMPRESS") == "none" else zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            records.append(f"{name},sha256={digest},{len(content)}")

        package = args.root / "lib/segearth"
        for path in sorted(path for path in package.rglob("*") if path.is_file()):
            name = path.relative_to(package).as_posix()
            if not bundled and path.name.startswith(TORCH):
                continue
            add(f"segearth/{name}", path.read_bytes(), 0o755 if name == "segearth" else 0o644)
        add("segearth/__init__.py", b'"""Holds the program `segearth`, which is no Python."""\n')
        add("segearth/__main__.py", MAIN.encode())
        add(f"segearth-{version}.data/scripts/segearth", (args.root / "bin/segearth").read_bytes(), 0o755)
        for path in sorted(path for path in (args.root / "share").rglob("*") if path.is_file()):
            name = path.relative_to(args.root).as_posix()
            # Manual pages and completions lie where shells of an active environment look for them.
            if name.startswith(("share/man", "share/bash-completion", "share/fish", "share/zsh", "share/segearth")):
                add(f"segearth-{version}.data/data/{name}", path.read_bytes())
            if name.startswith("share/doc/segearth/"):
                add(f"{info}/licenses/{name.removeprefix('share/doc/segearth/')}", path.read_bytes())
        readme = (args.root / "share/doc/segearth/README.md").read_text()
        add(f"{info}/METADATA", metadata(version, bundled, readme).encode())
        add(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: segearth\nRoot-Is-Purelib: false\nTag: {TAG}\n".encode())
        records.append(f"{info}/RECORD,,")
        entry = zipfile.ZipInfo(f"{info}/RECORD", date)
        entry.external_attr = 0o100644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        wheel.writestr(entry, "\n".join(records) + "\n")
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

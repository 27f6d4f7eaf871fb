#!/usr/bin/env python3
"""Prints a software bill of materials in CycloneDX 1.5: the crates of the program, and the libraries beside it with their SHA-256.

    packaging/sbom.py LIBRARIES
"""

import hashlib
import json
import os
import re
import sys
import time
import uuid
from pathlib import Path

from licences import LIBRARIES, crates

# Files of libtorch's wheels: their package, version and licence.
TORCH = {
    "libtorch_cpu.so": ("torch", "2.11.0", "BSD-3-Clause"),
    "libc10.so": ("torch", "2.11.0", "BSD-3-Clause"),
    "libgomp.so.1": ("torch", "2.11.0", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libcudart.so.13": ("nvidia-cuda-runtime", "13.0.96", "LicenseRef-NVIDIA-CUDA-EULA"),
    "libcupti.so.13": ("nvidia-cuda-cupti", "13.0.85", "LicenseRef-NVIDIA-CUDA-EULA"),
}


def library(path: Path) -> dict:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    component = {"type": "library", "name": path.name, "hashes": [{"alg": "SHA-256", "content": digest}]}
    if path.name in TORCH:
        package, version, licence = TORCH[path.name]
        component |= {"version": version, "purl": f"pkg:pypi/{package}@{version}"}
    else:
        name, version = re.match(r"lib(.+?)-[0-9a-f]{8}\.so\.?(.*)", path.name).groups()
        licence = LIBRARIES[name][0]
        component |= {"version": version, "description": "from the wheel rasterio 1.5.2"}
    component["licenses"] = [{"expression": licence}] if " " in licence else [{"license": {"name": licence}}]
    return component


def main() -> None:
    components = [
        {
            "type": "library",
            "name": crate["name"],
            "version": crate["version"],
            "purl": f"pkg:cargo/{crate['name']}@{crate['version']}",
            "licenses": [{"expression": (crate["license"] or "NOASSERTION").replace("/", " OR ")}],
        }
        for crate in crates()
    ]
    components += [library(path) for path in sorted(Path(sys.argv[1]).iterdir())]
    manifest = Path("Cargo.toml").read_text()
    version = re.search(r'\[workspace\.package\][^\[]*?version = "(.+?)"', manifest, re.DOTALL).group(1)
    content = json.dumps(components, sort_keys=True)
    when = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same parts have the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", when),
            "component": {"type": "application", "name": "segearth", "version": version, "licenses": [{"expression": "MIT"}]},
        },
        "components": components,
    }
    print(json.dumps(bill, indent=1))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Lets a program start on an older glibc: marks versions of it that no symbol asks for any more as not required.

    packaging/glibc.py FILE 2.34

`patchelf --clear-symbol-version` takes a version from a symbol but leaves the version in the list that the dynamic linker checks. Fails
where a symbol still needs a version after the given one.
"""

import re
import struct
import subprocess
import sys

WEAK = 2  # VER_FLG_WEAK


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main() -> None:
    path, newest = sys.argv[1], number(sys.argv[2])
    symbols = subprocess.run(["readelf", "-W", "--dyn-syms", path], check=True, capture_output=True, text=True).stdout
    needed = sorted(f"{symbol} (glibc {version})" for symbol, version in re.findall(r"UND (\w+)@GLIBC_([0-9.]+)", symbols) if number(version) > newest)
    if needed:
        sys.exit(f"dist: error: {path} needs {', '.join(needed)}\n\nhint: build on an older system, or let payload.sh clear the version.")
    data = bytearray(open(path, "rb").read())
    assert data[:6] == b"\x7fELF\x02\x01", "an ELF file of 64 bits"
    (offset,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + index * size) for index in range(count)]
    for section in (section for section in sections if section[1] == 0x6FFFFFFE):  # SHT_GNU_verneed
        strings = sections[section[6]][4]
        entry = section[4]
        while True:
            _, auxiliaries, _, first, following = struct.unpack_from("<HHIII", data, entry)
            at = entry + first
            for _ in range(auxiliaries):
                _, flags, _, name, after = struct.unpack_from("<IHHII", data, at)
                end = data.index(0, strings + name)
                match = re.fullmatch(r"GLIBC_([0-9.]+)", data[strings + name : end].decode())
                if match and number(match.group(1)) > newest:
                    struct.pack_into("<H", data, at + 4, flags | WEAK)
                at += after
            if not following:
                break
            entry += following
    with open(path, "r+b") as file:
        file.write(data)


if __name__ == "__main__":
    main()

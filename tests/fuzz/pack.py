"""Corpora as files: tests/fuzz/corpus/NAME.pack holds every input of one search.

    python3 tests/fuzz/pack.py unpack PACK FOLDER   writes the inputs as 0000, 0001, ...
    python3 tests/fuzz/pack.py pack FOLDER PACK     the inverse; drops duplicates

An input is its size as four little-endian bytes, then its bytes. Inputs are sorted by
size and then by bytes, so that one set of inputs is always one sequence of bytes.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from pathlib import Path

SIZE = struct.Struct("<I")


def pack(inputs: Iterable[bytes]) -> bytes:
    ordered = sorted(set(inputs), key=lambda one: (len(one), one))
    return b"".join(SIZE.pack(len(one)) + one for one in ordered)


def unpack(packed: bytes) -> list[bytes]:
    """Raises ValueError if the last input is cut short."""
    inputs = []
    at = 0
    while at < len(packed):
        if at + SIZE.size > len(packed):
            raise ValueError(f"a size is cut short at byte {at}")
        (size,) = SIZE.unpack_from(packed, at)
        at += SIZE.size
        if at + size > len(packed):
            raise ValueError(f"an input of {size} bytes is cut short at byte {at}")
        inputs.append(packed[at : at + size])
        at += size
    return inputs


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[0] not in ("pack", "unpack"):
        print(__doc__, file=sys.stderr)
        return 2
    source, target = Path(arguments[1]), Path(arguments[2])
    if arguments[0] == "pack":
        inputs = [file.read_bytes() for file in source.iterdir()]
        target.write_bytes(pack(inputs))
    else:
        inputs = unpack(source.read_bytes())
        target.mkdir(parents=True, exist_ok=True)
        for index, one in enumerate(inputs):
            (target / f"{index:04}").write_bytes(one)
    print(f"{len(inputs)} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env bash
# Package: protobuf 7.36.2, the Python package.
#
# Behaviour: json_format cannot read the JSON that it writes for the largest float32. It writes
# 3.4028235e+38, the shortest text that names this number, and then refuses that text as too
# large, because as a double it lies above the number. The smallest float32 fails in the same way.
#
# Guess before the run: a text is refused only if no finite float32 is nearest to it.
#
# Output seen: written 3.4028235e+38; read: ParseError, Float value too large.
#
# Why it matters: the largest and the smallest finite number are usual masks for logits, for padding
# or forbidden classes. A recorded request with such a mask in a float field cannot be replayed.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  protobuf==7.36.2

"$scratch/venv/bin/python" - << 'PYTHON'
import struct

from google.protobuf import json_format
from google.protobuf.wrappers_pb2 import FloatValue

largest = struct.unpack("<f", struct.pack("<I", 0x7F7FFFFF))[0]
second = struct.unpack("<f", struct.pack("<I", 0x7F7FFFFE))[0]


def reads_back(value):
    written = json_format.MessageToJson(FloatValue(value=value))
    try:
        read = json_format.Parse(written, FloatValue()).value
    except json_format.ParseError as error:
        read = f"ParseError: {error}"
    print(f"written {written}; read: {read}")
    return read == value


assert not reads_back(largest)
assert not reads_back(-largest)
assert reads_back(second)
PYTHON

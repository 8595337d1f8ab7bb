#!/usr/bin/env bash
# Package: protobuf 7.36.2, the Python package with its default implementation (upb).
#
# Behaviour: two messages are equal if their floats have the same bits. A NaN equals itself, so a
# message with a NaN equals its copy; 0.0 and -0.0 differ, and so do NaNs with different payloads.
#
# Guess before the run: fields compare as Python floats do, NaN unequal and the zeros equal.
#
# Output seen: NaN == NaN: True; 0.0 == -0.0: False; two NaN payloads: False.
#
# Why it matters: a test that compares replies of a loss service with == passes where both are NaN,
# and fails where two backends answer with zeros of different sign.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  protobuf==7.36.2

"$scratch/venv/bin/python" - << 'PYTHON'
import struct

from google.protobuf.internal import api_implementation
from google.protobuf.wrappers_pb2 import FloatValue


def with_bits(bits):
    return FloatValue.FromString(b"\x0d" + struct.pack("<I", bits))


assert api_implementation.Type() == "upb"
nan = with_bits(0x7FC00000) == with_bits(0x7FC00000)
zeros = FloatValue(value=0.0) == FloatValue(value=-0.0)
payloads = with_bits(0x7FC00000) == with_bits(0x7FC00001)
print(f"NaN == NaN: {nan}; 0.0 == -0.0: {zeros}; two NaN payloads: {payloads}")

assert nan
assert not zeros
assert not payloads
PYTHON

#!/usr/bin/env bash
# Package: pyarrow 26.0.1.
#
# Behaviour: a cast with safe=True, the default, turns finite numbers that the target type cannot
# hold into infinity when that type is a float, from integers too. Casts that merely round an
# integer are refused, and so are casts of floats that do not fit an integer.
#
# Guess before the run: a safe cast raises ArrowInvalid where a finite value would become infinite.
#
# Output seen:
#   1e39 from float64 to float32: inf; 100000.0 from float32 to float16: inf
#   70000 from int32 to float16: inf; 16777217 from int32 to float32: ArrowInvalid
#
# Why it matters: tables of logits are stored as float16 or float32 to save space. Safe does
# not keep an overflow out, and a loss service then sees infinite logits that nobody computed.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  pyarrow==26.0.1

"$scratch/venv/bin/python" - << 'PYTHON'
import pyarrow as pa


def cast(value, source, target):
    try:
        result = pa.array([value], source).cast(target, safe=True)[0].as_py()
    except pa.ArrowInvalid:
        result = "ArrowInvalid"
    print(f"{value} from {source} to {target}: {result}")
    return result


infinite = float("inf")
assert cast(1e39, "float64", "float32") == infinite
assert cast(1e5, "float32", "float16") == infinite
assert cast(70000, "int32", "float16") == infinite
assert cast(2**24 + 1, "int32", "float32") == "ArrowInvalid"
assert cast(1e39, "float64", "int64") == "ArrowInvalid"
PYTHON

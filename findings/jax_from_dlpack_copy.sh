#!/usr/bin/env bash
# Package: jax and jaxlib 0.10.2 with numpy 2.4.6, on the CPU.
#
# Behaviour: jnp.from_dlpack(x, copy=True) does not copy a NumPy array that starts at a multiple of
# 64 bytes, although the documentation says that it always does. A later write to x changes the
# JAX array, which is immutable by contract. An array that starts elsewhere is copied, and
# jnp.array(x) copies both. JAX 0.12.0.1 on Python 3.13 shares the memory too.
#
# Guess before the run: copy=True is the way to be safe, wherever the array starts.
#
# Output seen, after x[0] = 7:
#   start at a multiple of 64 plus 0: from_dlpack(copy=True) holds 7.0, array holds 1.0
#   start at a multiple of 64 plus 16: from_dlpack(copy=True) holds 1.0, array holds 1.0
#
# Why it matters: memory maps and shared memory start at a page, while arrays of NumPy often start
# 16 bytes after one. A gradient buffer that the next step overwrites then changes the previous
# gradient in the deployment with shared memory, and never in a test with ordinary arrays.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6

"$scratch/venv/bin/python" - << 'PYTHON'
import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax.numpy as jnp
import numpy as np


def after_a_write(offset, convert):
    """Returns the first element after a write to the source, which held ones."""
    memory = np.zeros(8192, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    source = memory[start : start + 4096].view(np.float32)
    source[:] = 1
    taken = convert(source).block_until_ready()
    source[0] = 7
    return float(taken[0])


for offset, shared in ((0, True), (16, False)):
    dlpack = after_a_write(offset, lambda source: jnp.from_dlpack(source, copy=True))
    array = after_a_write(offset, jnp.array)
    print(
        f"start at a multiple of 64 plus {offset}: "
        f"from_dlpack(copy=True) holds {dlpack}, array holds {array}"
    )
    assert dlpack == (7 if shared else 1)
    assert array == 1
PYTHON

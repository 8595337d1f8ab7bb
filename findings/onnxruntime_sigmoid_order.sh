#!/usr/bin/env bash
# Package: onnxruntime 1.32.0 and onnx 1.23.2, CPU provider, on x86-64.
#
# Behaviour: the float32 Sigmoid operator is not monotone. Beyond about 10 on either side the
# result falls again and again while the logit rises, and near -17 it is more than half off.
#
# Guess before the run: it becomes 0 below about -18 and is monotone above that.
#
# Output seen:
#   4001 logits from -20 to 20: the result falls 273 times
#   -16: 5.96e-08 (truth 1.13e-07), -17: 8.94e-08 (truth 4.14e-08)
#   largest relative error between -17.5 and -15: 2.73
#
# Why it matters: people who rank or threshold by a served probability get another order than by the
# logit, and a loss that is recomputed from served probabilities says that a worse negative is better.
# Logits, rather than probabilities, are what belongs on the wire to a loss service.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

"$scratch/venv/bin/python" - << 'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

graph = helper.make_graph(
    [helper.make_node("Sigmoid", ["x"], ["y"])],
    "sigmoid",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
)


def truth(x):
    return 1.0 / (1.0 + np.exp(-x.astype(np.float64)))


x = (np.arange(-2000, 2001) / 100).astype(np.float32)
y = session.run(None, {"x": x})[0].astype(np.float64)
falls = int((np.diff(y) < 0).sum())
print(f"{x.size} logits from -20 to 20: the result falls {falls} times")
for logit in (-16, -17):
    at = x == logit
    print(f"{logit}: {y[at][0]:.2e} (truth {truth(x[at])[0]:.2e})")
tail = (x > -17.5) & (x < -15)
error = np.max(np.abs(y[tail] / truth(x[tail]) - 1))
print(f"largest relative error between -17.5 and -15: {error:.2f}")

assert falls > 50
assert error > 0.5
assert (np.diff(truth(x)) > 0).all()
PYTHON

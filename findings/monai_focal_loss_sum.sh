#!/usr/bin/env bash
# Package: monai 1.6.1 with torch 2.15.0 and numpy 2.4.6, on the CPU.
#
# Behaviour: FocalLoss(reduction="sum") averages over the dimensions after the first two before it
# sums. Logits of shape (N, C) have none, the mean over an empty list of dimensions is that over
# all elements in PyTorch, and the "sum" is the mean. The documentation has an example of this
# shape, and says of "sum" only that the output will be summed.
#
# Guess that the documentation suggests, written down before the script: the sum is the sum of the
# elements that reduction="none" returns.
#
# Output seen, with gamma=2:
#   (4, 3): sum 0.3766, mean 0.3766, sum of the elements 4.5187
#   (8, 3): sum 0.3766, mean 0.3766, sum of the elements 9.0375
#   (4, 3, 5): sum 4.0381, mean 0.3365, sum of the elements 20.1905
#   (8, 3, 5): sum 8.0762, mean 0.3365, sum of the elements 40.3810
#
# Why it matters: the sum is what gradient accumulation and a division by the number of positive
# examples build on. For classification the value no longer grows with the batch, the gradient is
# N times C too small, and other implementations of the loss disagree by that factor.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
# This installs PyTorch with its packages for CUDA, several GB, although the CPU is all it takes.
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  monai==1.6.1 torch==2.15.0 numpy==2.4.6

"$scratch/venv/bin/python" - << 'PYTHON'
import math

import torch
from monai.losses import FocalLoss

for shape in ((4, 3), (4, 3, 5)):
    torch.manual_seed(0)
    once = torch.randn(*shape)
    labels_once = (torch.rand(*shape) > 0.5).float()
    sums = []
    for copies in (1, 2):
        logits, labels = torch.cat([once] * copies), torch.cat([labels_once] * copies)
        by_name = {
            name: FocalLoss(gamma=2.0, reduction=name)(logits, labels)
            for name in ("sum", "mean", "none")
        }
        assert by_name["none"].shape == logits.shape
        sums.append(by_name["sum"].item())
        elements = by_name["none"].sum().item()
        print(
            f"{tuple(logits.shape)}: sum {sums[-1]:.4f}, mean {by_name['mean']:.4f}, "
            f"sum of the elements {elements:.4f}"
        )
        if len(shape) == 2:
            assert math.isclose(sums[-1], by_name["mean"].item(), rel_tol=1e-5)
            assert math.isclose(elements, logits.numel() * sums[-1], rel_tol=1e-5)
        else:
            assert math.isclose(elements, shape[2] * sums[-1], rel_tol=1e-5)
    assert math.isclose(sums[1], (1 if len(shape) == 2 else 2) * sums[0], rel_tol=1e-5)
PYTHON

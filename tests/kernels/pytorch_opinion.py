"""Prints tests/kernels/pytorch_opinion.inc: what PyTorch computes in float64.

Logits up to 12, where its formulas lose few digits. Needs torch, and none of lossd.

Run: python tests/kernels/pytorch_opinion.py > tests/kernels/pytorch_opinion.inc
"""

import torch
from torch.nn import functional

COUNT = 60


def focal(x, t, alpha, gamma):
    """As torchvision.ops.sigmoid_focal_loss defines it."""
    p = torch.sigmoid(x)
    cross_entropy = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    p_t = p * t + (1 - p) * (1 - t)
    alpha_t = alpha * t + (1 - alpha) * (1 - t)
    return alpha_t * cross_entropy * (1 - p_t) ** gamma


def with_gradient(loss, x):
    """Losses, and the gradient of their sum."""
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return loss.tolist(), gradient.tolist()


def main():
    generator = torch.Generator().manual_seed(20261124)

    def uniform(low, high):
        return low + (high - low) * torch.rand(COUNT, generator=generator, dtype=torch.float64)

    x = uniform(-12, 12).requires_grad_()
    t = torch.where(torch.arange(COUNT) % 3 == 0, uniform(0, 1), uniform(0, 1).round())
    q, alpha, gamma = uniform(0.1, 4), uniform(0, 1), uniform(0, 5)
    bce = functional.binary_cross_entropy_with_logits(x, t, reduction="none", pos_weight=q)
    columns = [x.tolist(), t.tolist(), q.tolist(), alpha.tolist(), gamma.tolist()]
    columns += with_gradient(bce, x)
    columns += with_gradient(focal(x, t, alpha, gamma), x)
    print(f"// Printed by pytorch_opinion.py with PyTorch {torch.__version__}.")
    for row in zip(*columns, strict=True):
        print("{" + ", ".join(value.hex() for value in row) + "},")


if __name__ == "__main__":
    main()

"""Trains a multi-label classifier with PyTorch and a loss of lossd.

The images are scikit-learn's handwritten digits. Each has five labels that do not exclude each
other: whether its digit is even, prime, above 4, has a closed loop, and is a square number.
"""

from __future__ import annotations

import sys

import lossd.torch
import torch
from curves import save_curve
from digits_arguments import make_folder, parse_arguments
from digits_server import lossd_server
from sklearn.datasets import load_digits
from torch import nn
from tqdm import tqdm

NAMES = ("even", "prime", "above 4", "closed loop", "square")
DIGITS = ({0, 2, 4, 6, 8}, {2, 3, 5, 7}, {5, 6, 7, 8, 9}, {0, 6, 8, 9}, {0, 1, 4, 9})
TRAINING = 1400  # of 1797 images


def load() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images in [0, 1] and labels, one column for each of NAMES."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor([[digit in of for of in DIGITS] for digit in digits.target])
    return images, labels


def train(
    model: nn.Module, criterion: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    # With disable=None a log file gets no progress bar.
    progress = tqdm(range(steps), desc="training", unit="step", disable=None)
    for _ in progress:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{losses[-1]:.4f}", refresh=False)
    return losses


def main() -> int:
    arguments = parse_arguments(__doc__, sys.argv[1:], steps=200)
    make_folder(arguments.out)
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, len(NAMES)))
    images, labels = load()
    print(
        f"training with {TRAINING} of {len(images)} real images, {len(NAMES)} labels for each",
        flush=True,
    )
    with lossd_server(arguments.server) as server:
        # The only line that differs from a training with torch.nn.BCEWithLogitsLoss.
        criterion = lossd.torch.SigmoidCrossEntropyLoss(client=server.address)
        losses = train(model, criterion, images[:TRAINING], labels[:TRAINING], arguments.steps)
    with torch.no_grad():
        right = (model(images[TRAINING:]) > 0) == labels[TRAINING:]
    for name, share in zip(NAMES, right.float().mean(0).tolist(), strict=True):
        print(f"{name:12} {share:.1%} right of {len(right)} held-out images")
    picture = arguments.out / "attributes.png"
    save_curve({"sigmoid cross-entropy": losses}, picture)
    print(f"loss curve   {picture}")
    if right.float().mean() > 0.9:
        return 0
    print("at most 90 % are right: give more --steps", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Trains image and text encoders with the loss of SigLIP on two processes.

The images are scikit-learn's handwritten digits, and the text of an image is the name of its
digit, as letters. Each process has its share of the images; lossd computes the loss of its images
with the texts of both processes. One process then trains on all images, with the same result.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import lossd.torch
import torch
import torch.distributed as dist
from curves import save_curve
from digits_arguments import make_folder, parse_arguments
from digits_server import lossd_server
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = sorted({letter for name in NAMES for letter in name})
SHARDS = ((slice(0, 10),), (slice(0, 6), slice(6, 10)))  # of each batch, for 1 and 2 processes
BATCH, FEATURES = 10, 16


class Encoders(nn.Module):
    """Two small networks whose features of an image and its text should agree."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, FEATURES))
        self.text = nn.Linear(len(LETTERS), FEATURES)
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        image = functional.normalize(self.image(images), dim=1)
        text = functional.normalize(self.text(texts), dim=1)
        return image, text, self.log_scale.exp(), self.bias


def letters_of_names() -> torch.Tensor:
    """Returns how often each name has each letter."""
    return torch.tensor([[float(name.count(letter)) for letter in LETTERS] for name in NAMES])


def batches(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images and labels of batches that have each digit once."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    generator = torch.Generator().manual_seed(3)
    columns = []
    for digit in range(BATCH):
        of_digit = torch.nonzero(labels[:1400] == digit).flatten()
        drawn = torch.randint(len(of_digit), (steps,), generator=generator)
        columns.append(of_digit[drawn])
    indices = torch.stack(columns, 1)
    return images[indices], labels[indices]


def train(rank: int, processes: int, address: str, port: int, steps: int, results: Any) -> None:
    """Trains the share of one process; puts the losses and the accuracy into `results`."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    torch.manual_seed(7)
    model = DistributedDataParallel(Encoders())
    criterion = lossd.torch.SigLipLoss(client=address, process_group="world")
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    texts = letters_of_names()
    losses = []
    share = SHARDS[processes - 1][rank]
    progress = tqdm(
        zip(*batches(steps), strict=True),
        desc=f"training on {processes}",
        total=steps,
        unit="step",
        disable=None if rank == 0 else True,  # None: a log file gets no progress bar
    )
    for images, labels in progress:
        optimizer.zero_grad()
        loss = criterion(*model(images[share], texts[labels[share]]))
        loss.backward()
        optimizer.step()
        mean = loss.detach() / processes
        dist.all_reduce(mean)
        losses.append(mean.item())
        progress.set_postfix(loss=f"{losses[-1]:.4f}", refresh=False)
    results[processes, rank] = (losses, accuracy(model.module))
    dist.destroy_process_group()


def accuracy(model: Encoders) -> float:
    """Returns the share of held-out images whose nearest name is their digit's."""
    digits = load_digits()
    images = torch.tensor(digits.data[1400:], dtype=torch.float32) / 16
    with torch.no_grad():
        image, text, _, _ = model(images, letters_of_names())
    named = (image @ text.T).argmax(1)
    right = named == torch.tensor(digits.target[1400:])
    return float(right.float().mean())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def run(processes: int, address: str, steps: int, results: Any) -> None:
    torch.multiprocessing.start_processes(
        train, (processes, address, free_port(), steps, results), processes, start_method="spawn"
    )


def main() -> int:
    arguments = parse_arguments(__doc__, sys.argv[1:], steps=300)
    make_folder(arguments.out)
    print(f"training with batches of {BATCH} real images, on two processes and on one", flush=True)
    with (
        lossd_server(arguments.server) as server,
        torch.multiprocessing.get_context("spawn").Manager() as manager,
    ):
        results = manager.dict()
        for processes in (2, 1):
            run(processes, server.address, arguments.steps, results)
        (two, share), (one, _) = results[2, 0], results[1, 0]
    difference = max(abs(a - b) / b for a, b in zip(two[:20], one[:20], strict=True))
    picture = arguments.out / "siglip.png"
    save_curve({"two processes, 6 and 4 rows": two, "one process": one}, picture)
    print(f"final loss            two processes {two[-1]:.6f}   one {one[-1]:.6f}")
    print(f"largest difference    {difference:.1e} of the loss in the first 20 steps")
    print(f"held-out images       {share:.1%} nearest to the name of their digit")
    print(f"loss curve            {picture}")
    failures = []
    if share <= 0.8:
        failures.append("at most 80 % are nearest to their digit: give more --steps")
    if difference >= 1e-4:
        failures.append("two processes and one have different losses")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

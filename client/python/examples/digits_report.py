"""The server's metrics as a small table, and the loss curves as a picture."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import matplotlib
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

Samples = dict[str, list[tuple[dict[str, str], float]]]


def scrape(url: str) -> Samples:
    """Returns the samples of each metric as pairs of labels and value."""
    with urllib.request.urlopen(url, timeout=10) as reply:
        text = reply.read().decode()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def histogram(samples: Samples, name: str, **labels: str) -> list[tuple[float, float]]:
    """Returns the buckets in rising order, as pairs of upper bound and cumulative count."""
    rows = [
        (float(of["le"]), value)
        for of, value in samples[f"{name}_bucket"]
        if all(of.get(key) == wanted for key, wanted in labels.items())
    ]
    return sorted(rows)


def quantile(buckets: list[tuple[float, float]], q: float) -> float:
    """Returns the upper bound of the bucket in which the quantile lies."""
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= q * total)


def total(samples: Samples, name: str, **labels: str) -> float:
    """Returns the sum over all samples with these labels."""
    return sum(
        value
        for of, value in samples.get(name, [])
        if all(of.get(key) == wanted for key, wanted in labels.items())
    )


def print_metrics(url: str) -> bool:
    """Prints the server's counters; returns whether a batch had more than one request."""
    samples = scrape(url)
    sizes = histogram(samples, "lossd_batch_requests")
    seconds = histogram(samples, "lossd_request_seconds", method="ComputeLoss")
    batches = sizes[-1][1]
    lone = next((count for bound, count in sizes if bound >= 1), 0.0)
    requests = total(samples, "lossd_requests_total", method="ComputeLoss", code="OK")
    accepted = total(samples, "lossd_accepted_total", method="ComputeLoss")
    print(f"requests answered   {requests:.0f}, of {accepted:.0f} accepted")
    print(f"elements computed   {total(samples, 'lossd_elements_total'):.0f}")
    print(
        f"batches             {batches:.0f}, {batches - lone:.0f} of them of more than one request"
    )
    below = 0.0
    for bound, count in sizes:
        if count > below:
            print(f"  up to {bound:>4g} requests {count - below:>8.0f}")
        below = count
    print(
        f"request seconds     p50 <= {quantile(seconds, 0.5):g}, p99 <= {quantile(seconds, 0.99):g}"
    )
    return batches > lone


def save_curves(losses: np.ndarray, path: Path) -> None:
    """Draws both loss curves and, below them, their difference."""
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), height_ratios=(3, 1))
    above.plot(losses[:, 1], linewidth=4, alpha=0.4, label="local, float64")
    above.plot(losses[:, 0], linewidth=1.2, label="lossd, float32 logits")
    above.set_yscale("log")
    above.set_ylabel("mean sigmoid cross-entropy")
    above.legend()
    below.plot(np.abs(losses[:, 0] - losses[:, 1]), color="black", linewidth=0.8)
    below.set_yscale("log")
    below.set_ylabel("difference")
    below.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)

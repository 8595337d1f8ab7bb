"""Each client names its training job, and the metrics show how each job goes."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import lossd
import numpy as np
import pytest
from running_server import BINARIES, RunningServer, lossbench, running_server

CLASSES = 10


@pytest.fixture(scope="module", name="server")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    socket = tmp_path_factory.mktemp("jobs") / "memory"
    with running_server("--max_jobs=40", f"--shared_memory_socket={socket}") as server:
        yield server


def scrape(server: RunningServer) -> dict[tuple[str, str], float]:
    """Returns the samples of the metrics of jobs by job and name, without lossd_job_."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    found = re.findall(r'^lossd_job_(\w+)\{training_job="([^"]*)"\} (\S+)$', page, re.MULTILINE)
    return {(job, name): float(value) for name, job, value in found}


def batch(elements: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    logits = random.normal(0, 9, elements).astype(np.float32)
    return logits, (random.random(elements) < 0.2).astype(np.uint8)


def by_client(server: RunningServer, job: str) -> None:
    with lossd.Client(server.address, job=job) as client:
        client.compute_loss(*batch())


def by_stream(server: RunningServer, job: str) -> None:
    with lossd.Client(server.address, job=job, stream_above_bytes=0) as client:
        client.compute_loss(*batch())


def by_session(server: RunningServer, job: str) -> None:
    with lossd.Client(server.address, job=job) as client, client.session() as session:
        session.submit(*batch()).result()


def by_asyncio(server: RunningServer, job: str) -> None:
    async def run() -> None:
        async with lossd.AsyncClient(server.address, job=job) as client:
            await client.compute_loss(*batch())

    asyncio.run(run())


def by_several(server: RunningServer, job: str) -> None:
    with lossd.Client([server.address], job=job) as client:
        client.compute_loss(*batch())


def by_copy(server: RunningServer, job: str) -> None:
    with pickle.loads(pickle.dumps(lossd.Client(server.address, job=job))) as client:
        client.compute_loss(*batch())


def by_torch(server: RunningServer, job: str) -> None:
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("lossd.torch")
    logits, targets = batch()
    with lossd.Client(server.address, job=job) as client:
        given = torch.from_numpy(logits).requires_grad_()
        loss = module.BCEWithLogitsLoss(client=client)
        loss(given, torch.from_numpy(targets.astype(np.float32))).backward()


@pytest.mark.parametrize(
    "ask", [by_client, by_stream, by_session, by_asyncio, by_several, by_copy, by_torch]
)
def test_every_client_names_its_job(
    server: RunningServer, ask: Callable[[RunningServer, str], None]
) -> None:
    job = f"run of {ask.__name__}"
    ask(server, job)
    with lossd.Client(server.address) as client:  # its call has no job
        result = client.compute_loss(*batch())
    seen = scrape(server)
    logits, targets = batch()
    assert seen[job, "requests_total"] == 1
    assert seen[job, "elements_total"] == seen[job, "loss_count"] == logits.size
    assert seen[job, "loss_sum"] / seen[job, "loss_count"] == pytest.approx(result.loss, rel=1e-6)
    assert result.gradient is not None
    squares = float((result.gradient.astype(np.float64) ** 2).sum())
    assert seen[job, "gradient_square_sum"] == pytest.approx(squares, rel=0.1)
    sampled = seen[job, "sampled_elements_total"]
    assert logits.size / 128 < sampled < logits.size / 128 + 64
    assert seen[job, "positives_total"] / sampled == pytest.approx(targets.mean(), abs=0.05)
    saturated = (abs(logits) > 15).mean()
    assert seen[job, "saturated_total"] / sampled == pytest.approx(saturated, abs=0.03)
    assert seen[job, "nan_logits_total"] == 0


@pytest.mark.parametrize(
    ("job", "error", "text"),
    [
        (7, TypeError, "^job: 7 is not a string"),
        ("", ValueError, "^job: '' has 0 characters, and may have 1 to 64$"),
        ("w" * 65, ValueError, "^job: 'w+' has 65 characters"),
        ("aé", ValueError, "^job: character 1 of 'aé' is not a printable"),
    ],
)
@pytest.mark.parametrize("kind", [lossd.Client, lossd.AsyncClient])
def test_a_client_refuses_a_bad_name(kind: type, job: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        kind("localhost:1", job=job)


def test_programs_name_a_job(server: RunningServer, tmp_path: Path) -> None:
    lossbench(server, "--elements=64", "--requests=50", "--warmup=0s", "--job=bench")
    lossbench(server, "--elements=64", "--requests=50", "--warmup=0s", "--session", "--job=bench")
    np.save(tmp_path / "x.npy", batch()[0])
    np.save(tmp_path / "t.npy", batch()[1])
    files = [f"--logits={tmp_path / 'x.npy'}", f"--targets={tmp_path / 't.npy'}"]
    command = [str(BINARIES / "client" / "lossctl"), f"--target={server.address}"]
    subprocess.run([*command, *files, "--job=by hand"], check=True, capture_output=True)
    seen = scrape(server)
    # lossbench makes a call before it measures.
    assert 100 <= seen["bench", "requests_total"] <= 102
    assert seen["by hand", "requests_total"] == 1


def test_a_run_that_diverges_is_seen(server: RunningServer) -> None:
    """Trains a linear classifier with a learning rate that is far too high."""
    random = np.random.default_rng(1)
    inputs = random.normal(0, 1, (256, 32)).astype(np.float32)
    targets = (random.random((256, CLASSES)) < 0.1).astype(np.float32)
    means, norms, shares = [], [], []
    with lossd.Client(server.address, job="too fast") as client:
        weights = np.zeros((32, CLASSES), np.float32)
        before = dict.fromkeys(
            [
                ("too fast", name)
                for name in (
                    "loss_sum",
                    "loss_count",
                    "gradient_square_sum",
                    "saturated_total",
                    "sampled_elements_total",
                )
            ],
            0.0,
        )
        for _ in range(8):
            result = client.compute_loss(inputs @ weights, targets, reduction="sum")
            weights -= 0.5 * (inputs.T @ result.gradient)
            seen = scrape(server)
            grew = {name: seen["too fast", name] - was for (_, name), was in before.items()}
            before = {key: seen[key] for key in before}
            means.append(grew["loss_sum"] / grew["loss_count"])
            norms.append(grew["gradient_square_sum"] ** 0.5)
            shares.append(grew["saturated_total"] / grew["sampled_elements_total"])
        weights[0, 0] = np.nan
        with pytest.raises(lossd.LossdError):
            client.compute_loss(inputs @ weights, targets, reduction="sum")
    assert means[-1] > 3 * means[0]
    assert norms[0] > 0
    assert shares[0] == 0
    assert shares[-1] > 0.5
    seen = scrape(server)
    assert seen["too fast", "nan_logits_total"] == 256
    assert seen["too fast", "bad_losses_total"] == 1


def test_lossctl_shows_jobs(server: RunningServer) -> None:
    watch = [str(BINARIES / "client" / "lossctl"), "watch", server.metrics, "--interval=1s"]
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            by_client(server, "watched")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        done = subprocess.run(
            [*watch, "--count=1", "--json"], capture_output=True, text=True, check=True
        )
    finally:
        stop.set()
        asking.join()
    row = json.loads(done.stdout.splitlines()[-1])["jobs"]["watched"]
    assert row["requests_per_second"] > 0
    assert 0.1 < row["positives"] < 0.3
    assert row["gradient_norm"] > 0


def test_names_beyond_the_limit_count_together() -> None:
    with running_server("--max_jobs=2") as server:
        for job in ("a", "b", "c", "d", "a"):
            by_client(server, job)
        seen = scrape(server)
        assert {job for job, _ in seen} == {"a", "b", "other"}
        assert seen["other", "requests_total"] == 2
    with running_server("--max_jobs=0") as server:
        by_client(server, "a")
        assert scrape(server) == {}

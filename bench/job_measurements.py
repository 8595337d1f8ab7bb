"""Measures what the metrics of a training job cost."""

from __future__ import annotations

import tempfile

from measurement import MEBI, Effort, Measurement, Result, alternate
from peer_measurements import closed_loop
from programs import Programs


def job_and_none(name: str, programs: Programs, effort: Effort) -> Result:
    """Compares calls that name a job with calls that name none.

    The tensors lie in shared memory, so that computing is most of the work, and what is added to
    it shows most.
    """
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/lossd"
        load = {**closed_loop(MEBI, 4, effort), "shared_memory": socket}
        with programs.lossd(f"--shared_memory_socket={socket}") as lossd:
            ours, peer = alternate(
                effort.rounds,
                lambda: float(programs.load(lossd, {**load, "job": "a"})["requests_per_second"]),
                lambda: float(programs.load(lossd, load)["requests_per_second"]),
            )
    what = (
        f"ComputeLoss of {MEBI} float32 elements at concurrency 4 with the metadata lossd-job, "
        "tensors and gradient in shared memory, messages over TCP; peer: the same without it"
    )
    return Result(name, ours, peer, ours / peer, "requests/s", what)


JOB_MEASUREMENTS: dict[str, Measurement] = {
    "job_metrics_vs_none": Measurement(0.98, job_and_none),
}

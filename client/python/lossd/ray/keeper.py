"""The actor that keeps one server running on its node."""

from __future__ import annotations

import logging
import os
import threading

import ray

from lossd.ray.state import NAMESPACE, Plan, Report, port_of
from lossd.server_process import NotStarted, ServerProcess, find_program

_LOG = logging.getLogger("lossd.ray")

# The fleet is looked for so often, and the server ends with it.
_FLEET_SECONDS = 5.0
# A server that does not start is tried again after the first delay, then after up to the longest.
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


class Keeper:
    """Starts a server, and again when it has ended, on the same port if that is still free.

    The server ends with this actor, and this actor with its fleet.
    """

    def __init__(self, fleet: str, plan: Plan, port: int) -> None:
        """`port` is that of the server that was on this node before, or 0."""
        self._fleet = fleet
        self._plan = plan
        self._port = port
        self._host = ray.util.get_node_ip_address()
        self._process: ServerProcess | None = None
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._report = Report()
        if plan.num_gpus == 0:  # some versions of Ray leave all GPUs visible
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # The server has to be started by a thread that lives as long as this actor.
        self._thread = threading.Thread(target=self._run, name="lossd keeper", daemon=True)
        self._thread.start()

    def report_after(self, number: int) -> Report:
        """Waits for a report with a higher number, and returns it."""
        with self._changed:
            self._changed.wait_for(lambda: self._report.number > number)
            return self._report

    def stop(self) -> None:
        """Waits until the server has answered what it has accepted, and has ended."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._keep()
        finally:
            if not self._stopping.is_set():  # the fleet is gone
                ray.kill(ray.get_runtime_context().current_actor)

    def _keep(self) -> None:
        delay = _FIRST_DELAY
        while not self._is_to_end():
            try:
                process = self._process = self._start()
            except (NotStarted, OSError) as error:
                self._tell(error=str(error))
                self._stopping.wait(delay)
                delay = min(delay * 2, _LONGEST_DELAY)
                continue
            self._tell(process.address, process.metrics, process.pid)
            delay = _FIRST_DELAY
            self._wait_for_end(process)

    def _start(self) -> ServerProcess:
        program = find_program(self._plan.binary)
        try:
            process = ServerProcess(program, self._host, self._port, self._plan.flags)
        except NotStarted:
            if self._port == 0:
                raise
            # Another program may have taken the port.
            process = ServerProcess(program, self._host, 0, self._plan.flags)
        self._port = port_of(process.address)
        return process

    def _wait_for_end(self, process: ServerProcess) -> None:
        """Waits for the server to end, or ends it with the fleet or after stop()."""
        while not self._is_to_end():
            if process.ended(_FLEET_SECONDS) and not self._stopping.is_set():
                self._tell(error=f"process {process.pid} ended with {process.code()}")
                self._stopping.wait(_FIRST_DELAY)
                return
        process.stop()
        process.code()

    def _is_to_end(self) -> bool:
        """Returns whether stop() was called, or the fleet is gone."""
        if self._stopping.is_set():
            return True
        try:
            ray.get_actor(self._fleet, NAMESPACE)
        except ValueError:  # an actor that Ray starts again keeps its name meanwhile
            return True
        except ray.exceptions.RayError as error:  # Ray's head is away
            _LOG.warning("lossd on %s: the fleet could not be looked for: %s", self._host, error)
        return False

    def _tell(self, address: str = "", metrics: str = "", pid: int = 0, error: str = "") -> None:
        """Makes a report. A server that is to come back keeps its addresses."""
        with self._changed:
            last = self._report
            self._report = Report(
                last.number + 1, address or last.address, metrics or last.metrics, pid, error
            )
            self._changed.notify_all()
        if error:
            _LOG.warning("lossd on %s: %s", self._host, error)

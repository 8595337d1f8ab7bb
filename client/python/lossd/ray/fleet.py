"""What a job does with a fleet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import ray

from lossd import arguments
from lossd.client import Client
from lossd.ray.controller import Controller
from lossd.ray.state import NAMESPACE, Plan, Server

# Every answer of the controller is there already.
_ANSWER_SECONDS = 30.0
_STOP_SECONDS = 120.0
# Ray ends an actor that is not detached when the handle is gone with which it was made.
_started: dict[str, Any] = {}
_OWN_FLAGS = re.compile("--?(metrics_)?listen(=|$)")


class NoFleet(RuntimeError):
    """There is no fleet of a name."""


def start(
    *,
    binary: str | None = None,
    flags: Sequence[str] = (),
    num_cpus: float = 0,
    num_gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    name: str = "lossd",
    detached: bool = False,
    timeout: float = 120,
) -> Fleet:
    """Starts a server on each node of the Ray cluster that is connected, and on those that come.

    `binary` is the path of the program lossd on the nodes. None, the default, takes that of the
    package lossd-server, or the first on PATH. `flags` are the server's, such as
    ["--token_file=/etc/lossd/tokens"]. It listens at the node's address of Ray, on a free port.

    `num_cpus`, `num_gpus` and `resources` are what each server takes of its node, as for actors
    of Ray. Only nodes that have them get a server, and none that has no CPUs. By default a server
    takes nothing, so that trainers have all, and sees no GPU.

    `name` tells fleets apart. The fleet ends with the job that starts it, or with Fleet.stop() if
    `detached` is True.

    `timeout` is in seconds: this returns when each node has its server. 0 waits for none.

    Raises ValueError for a fleet of that name that exists, RuntimeError if a server does not
    start, and TimeoutError; the fleet has ended then.
    """
    plan = Plan(
        binary if binary is None else arguments.text("binary", binary),
        _checked_flags(flags),
        _amount("num_cpus", num_cpus),
        _amount("num_gpus", num_gpus),
        {key: _amount(f"resources[{key!r}]", value) for key, value in (resources or {}).items()},
    )
    fleet = Fleet(name)
    wait_seconds = _amount("timeout", timeout)
    controller = _start_controller(fleet.name, plan, arguments.truth("detached", detached))
    if wait_seconds == 0:
        return fleet
    try:
        _check_servers(ray.get(controller.settled.remote(wait_seconds)), plan, wait_seconds)
    except BaseException:
        fleet.stop()
        raise
    return fleet


def client(name: str = "lossd", **options: Any) -> Client:
    """Returns a new client of a fleet's servers, in any task or actor: see Fleet.client()."""
    return Fleet(name).client(**options)


class Fleet:
    """A fleet that start() has started, by its name. It can be pickled. Thread-safe.

    In a `with` statement it is stopped at the end.
    """

    def __init__(self, name: str = "lossd") -> None:
        """`name` is that of start(), in any job of the cluster."""
        self.name = arguments.text("name", name)
        if not name:
            raise ValueError("name: an empty one names no fleet")
        self._process = os.getpid()

    def client(self, **options: Any) -> Client:
        """Returns a new client, whose calls take turns among the servers there are.

        `options` are those of lossd.Client. `wait_for_ready=True` lets a call wait where no
        server is there. For asyncio give lossd.AsyncClient(fleet.targets).
        """
        self._controller()
        return Client(self.targets, **options)

    def targets(self) -> list[str]:
        """Returns HOST:PORT of each server. A client takes this function as its target."""
        return [server.address for server in self.servers() if server.address]

    def local_target(self) -> str:
        """Returns HOST:PORT of the server on this process's node.

        It is one server, with which shared memory works, and it stays at its port when it has to
        be started again. Raises LookupError if the node has none.
        """
        node_id = ray.get_runtime_context().get_node_id()
        for server in self.servers():
            if server.node_id == node_id and server.address:
                return server.address
        raise LookupError(f"fleet {self.name!r}: no server on this node, {node_id}")

    def servers(self) -> list[Server]:
        """Returns the servers of all nodes, those that are not running as well.

        Raises RuntimeError if there is no such fleet.
        """
        return list(ray.get(self._controller().servers.remote(), timeout=_ANSWER_SECONDS))

    def stop(self) -> None:
        """Ends all servers, which answer what they have accepted. Does nothing the second time."""
        try:
            controller = self._controller()
        except NoFleet:
            return
        try:
            ray.get(controller.stop.remote(), timeout=_STOP_SECONDS)
        finally:
            ray.kill(controller)
            _started.pop(self.name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __reduce__(self) -> tuple[Any, ...]:
        return Fleet, (self.name,)

    def __repr__(self) -> str:
        return f"lossd.ray.Fleet({self.name!r})"

    def _controller(self) -> Any:
        _check_connected()
        if self._process != os.getpid():
            raise RuntimeError("lossd.ray: this process was forked, and Ray does not work in it")
        try:
            return ray.get_actor(self.name, NAMESPACE)
        except ValueError:
            raise NoFleet(
                f"there is no fleet {self.name!r} in this Ray cluster; "
                f"lossd.ray.start(name={self.name!r}) starts one"
            ) from None


def _start_controller(name: str, plan: Plan, detached: bool) -> Any:
    if _exists(name):  # Ray Client reports a name that is taken later, and with the next call
        raise _taken(name)
    options: dict[str, Any] = {"lifetime": "detached"} if detached else {}
    actor = ray.remote(Controller).options(
        name=name,
        namespace=NAMESPACE,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=16,
        **options,
    )
    try:
        controller = _started[name] = actor.remote(name, plan)
    except ValueError as error:  # another job was faster
        raise _taken(name) from error
    return controller


def _exists(name: str) -> bool:
    try:
        Fleet(name)._controller()
    except NoFleet:
        return False
    return True


def _taken(name: str) -> ValueError:
    return ValueError(
        f"name: there is a fleet {name!r} in this Ray cluster; "
        f"use lossd.ray.Fleet({name!r}), or another name"
    )


def _check_connected() -> None:
    # Ray would start a cluster of its own.
    if not ray.is_initialized():
        raise RuntimeError("lossd.ray: this process is not connected to Ray; call ray.init()")


def _check_servers(servers: Sequence[Server], plan: Plan, seconds: float) -> None:
    """Raises RuntimeError or TimeoutError unless all servers are there."""
    for one in servers:
        if not one.pid and one.error:
            raise RuntimeError(f"no server on node {one.host} ({one.node_id}): {one.error}")
    if not servers:
        demands = ", ".join(f"{key} {value:g}" for key, value in plan.demands().items())
        raise TimeoutError(
            f"timeout: no node with {demands or 'CPUs'} within {seconds:g} s for a server"
        )
    late = [f"{one.host} ({one.node_id})" for one in servers if not one.pid]
    if late:
        raise TimeoutError(f"timeout: no server within {seconds:g} s on {', '.join(late)}")


def _checked_flags(flags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(flags, str) or not all(isinstance(flag, str) for flag in flags):
        raise TypeError(f"flags: {flags!r} is not a list of strings")
    for flag in flags:
        if _OWN_FLAGS.match(flag):
            raise ValueError(f"flags: {flag!r}: a server of a fleet listens on a port that is free")
    return tuple(flags)


def _amount(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: {value!r} is not a number")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name}: {value!r} is not a number from 0 up")
    return value

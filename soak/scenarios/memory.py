"""Has clients send more large requests at once than a small container can hold."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import grpc

from soak import message
from soak.cgroup import CgroupLimits, NoCgroup, cgroup
from soak.row import Row, judged, not_run
from soak.server import PATIENCE, Server, Setting, counts, running, wait_until

MIB = 1 << 20
MEMORY, CPUS = 512 * MIB, 1.0
DATA_LIMIT_KIB = 300_000  # RLIMIT_DATA
CLIENTS = 24
ELEMENTS = 5_000_000  # 40 MB of request, 20 MB of reply
SECONDS = 60
FEWER = (1, 2, 4)  # numbers of clients among which the best goodput is looked for
BEST_SECONDS = 15
GOOD = 0.9  # least part of the best goodput under overload
IDLE = 90.0  # seconds after which memory must have gone back
DONE = f"{CLIENTS} clients send requests of 40 MB"


class Load:
    """Clients that each send one request after another and heed pushback."""

    def __init__(self, server: Server, clients: int) -> None:
        self._server = server
        self._request = message.large_request(ELEMENTS)
        self._ended = threading.Event()
        self._lock = threading.Lock()  # guards all below
        self.answered = 0
        self.refused: Counter[str] = Counter()
        self.silent: Counter[str] = Counter()  # refusals of a budget without a pushback
        self.text = ""  # the last one's
        self._threads = [threading.Thread(target=self._work) for _ in range(clients)]

    def run(self, seconds: float) -> None:
        """Goes on for that long, or until the server has ended."""
        for thread in self._threads:
            thread.start()
        wait_until(lambda: not self._server.alive(), seconds)
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        with grpc.insecure_channel(self._server.address, options) as channel:
            call = channel.unary_unary(message.COMPUTE)
            while not self._ended.is_set():
                try:
                    call(self._request, timeout=PATIENCE)
                except grpc.RpcError as error:
                    self._ended.wait(self._note(error))
                else:
                    with self._lock:
                        self.answered += not self._ended.is_set()

    def _note(self, error: grpc.RpcError) -> float:
        """Counts a refusal and returns for how many seconds it asks the client to wait."""
        code = error.code().name
        pushback = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
        with self._lock:
            self.refused[code] += 1
            if pushback is None:
                self.silent[code] += 1
                self.text = str(error.details())
        return int(pushback) / 1000 if pushback else 0.1


def rows(setting: Setting) -> Iterator[Row]:
    seconds = setting.times(SECONDS)
    done = f"{DONE} for {seconds} s; 512 MiB, 1 CPU"
    try:
        with cgroup(MEMORY, CPUS) as limits:
            yield from contained(setting, limits, done, seconds)
    except NoCgroup as reason:
        yield not_run("memory", done, "cgroup", str(reason))
    yield bounded_by_rlimit(setting, seconds)


def contained(setting: Setting, limits: CgroupLimits, done: str, seconds: int) -> Iterator[Row]:
    counterpart = f"cgroup v{limits.version}, grpcio {grpc.__version__}"
    best = best_goodput(setting, limits)
    server = Server(setting, limits=limits, name="cgroup")
    with running(server):
        load = Load(server, CLIENTS)
        load.run(seconds)
        goodput = load.answered / seconds
        lost = load.silent.total() + limits.kills()
        faults = [] if server.alive() else ["the server has ended"]
        if load.text:
            faults.append(load.text)
        if goodput < GOOD * best:
            faults.append(f"fewer answers than {GOOD} of the best")
        yield judged(
            "memory",
            done,
            counterpart,
            times=load.answered + load.refused.total(),
            lost=lost,
            seen=f"{limits.kills()} killed; peak {limits.peak() // MIB} MiB; "
            f"{goodput:.2f} answers/s of at best {best:.2f}; refused: "
            f"{counts(load.refused) or 'none'}; without pushback: {counts(load.silent) or 'none'}",
            broken="; ".join(faults),
        )
        if server.alive():
            yield given_back(server, counterpart)


def best_goodput(setting: Setting, limits: CgroupLimits) -> float:
    """Returns the answers per second of the number of clients that suits the server best."""
    best = 0.0
    for clients in FEWER:
        server = Server(setting, limits=limits, name=f"best-{clients}")
        with running(server):
            load = Load(server, clients)
            load.run(BEST_SECONDS)
        best = max(best, load.answered / BEST_SECONDS)
    return best


def given_back(server: Server, counterpart: str) -> Row:
    """Waits for the memory to go back after the load."""
    peak = server.resident_bytes()
    allowed = 128 * MIB
    start = time.monotonic()
    waited = wait_until(lambda: server.resident_bytes() <= allowed, IDLE)
    return judged(
        "memory",
        f"idle after that load, until at most {allowed // MIB} MiB are resident",
        counterpart,
        times=1,
        lost=int(waited == float("inf")),
        seen=f"{peak // MIB} MiB, after {time.monotonic() - start:.0f} s "
        f"{server.resident_bytes() // MIB} MiB",
    )


def bounded_by_rlimit(setting: Setting, seconds: int) -> Row:
    """The server goes on, or it ends itself with a line that says why."""
    server = Server(setting, shell=f"ulimit -d {DATA_LIMIT_KIB}", name="rlimit")
    with running(server):
        load = Load(server, CLIENTS)
        load.run(seconds)
        end = ending(server)
    return judged(
        "memory",
        f"{DONE} for {seconds} s; RLIMIT_DATA {DATA_LIMIT_KIB} KiB",
        f"grpcio {grpc.__version__}",
        times=load.answered + load.refused.total(),
        lost=int(end != ""),
        seen=f"{load.answered} answers; refused: {counts(load.refused) or 'none'}",
        broken=f"{end}, last line: {server.last_words()!r}" if end else "",
    )


def ending(server: Server) -> str:
    """Returns how a server has ended without saying why, or nothing."""
    code = server.process.poll() if server.process else None
    said_why = code is not None and code > 0 and "memory" in server.last_words()
    return "" if code is None or said_why else f"ended with {code}"

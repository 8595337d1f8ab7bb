"""The base class of the blocking and the asyncio client."""

from __future__ import annotations

import abc
import functools
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import grpc

from lossd import address, arguments, conversion, forks, streaming
from lossd import shared_memory as shared
from lossd.conversion import Logits, Targets
from lossd.errors import Route
from lossd.lookups import Lookups
from lossd.named_calls import NamedCalls
from lossd.retries import RETRY_BUFFER_BYTES, SERVICE_CONFIG, Retries
from lossd.shared_memory import SharedMemory
from lossd.spec import NAMES, LossOptions
from lossd.v1 import loss_service_pb2

# These options of compute_loss() have a fast way.
_OUT_ALONE = {"gradient_out"}

# The options of every channel, which the caller's own may replace.
_OPTIONS: dict[str, int | str | bytes] = {
    # The client sets no limit of its own to a message; the server does.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    # Otherwise a channel shares its connection with all others of the process to the same
    # address, also across a fork, after which it is broken.
    "grpc.use_local_subchannel_pool": 1,
    # The first attempt to connect again follows after 0.1 s, and later ones at least every
    # second. gRPC's own wait grows to two minutes, which is meant for services of many servers.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
    # The time that one attempt has, 20 s by default. One that began before the server's host
    # came back would be waited for so long.
    "grpc.min_reconnect_backoff_ms": 2000,
    # A call notices within about a minute that the server's host is gone without a word. The
    # server accepts such pings (D60).
    "grpc.keepalive_time_ms": 10_000,
}
# Those of a channel to several servers.
_BALANCED: dict[str, int | str | bytes] = {
    "grpc.service_config": SERVICE_CONFIG,
    "grpc.per_rpc_retry_buffer_size": RETRY_BUFFER_BYTES,
}
# Each of these names the servers' certificate.
_CERTIFICATE_NAMES = ("grpc.ssl_target_name_override", "grpc.default_authority")


class Connection:
    """A channel and its calls. Requests and replies are bytes, except for server_info()."""

    def __init__(self, channel: Any, target: str, route: Route) -> None:
        self.channel = channel
        self.target = target  # as gRPC has it
        self.route = route
        self.compute_loss = channel.unary_unary(conversion.COMPUTE_LOSS)
        self.stream_loss = channel.stream_stream(conversion.STREAM_LOSS)
        self.compute_losses = channel.stream_stream(conversion.COMPUTE_LOSSES)
        self.get_server_info = channel.unary_unary(
            conversion.GET_SERVER_INFO,
            request_serializer=loss_service_pb2.GetServerInfoRequest.SerializeToString,
            response_deserializer=loss_service_pb2.GetServerInfoResponse.FromString,
        )

    def close_when_unused(self) -> None:
        """Closes a channel of the blocking API when nothing refers to this object any more."""
        weakref.finalize(self, _close, self.channel, os.getpid()).atexit = False


def _close(channel: grpc.Channel, process: int) -> None:
    if process == os.getpid():  # a child must not touch its parent's
        channel.close()


class BaseClient(abc.ABC):
    """The addresses of one lossd server or several, and the arguments of the calls to them.

    A subclass chooses one of gRPC's two APIs, sends what this class prepares, and waits for
    the answer in the way of that API.
    """

    # grpc or grpc.aio: both make a channel by functions of the same names and parameters.
    _grpc: ClassVar[Any]

    def __init__(
        self,
        target: str | Sequence[str] | Callable[[], Sequence[str]],
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        job: str | None = None,
        stream_above_bytes: int = streaming.STREAM_ABOVE_BYTES,
        shared_memory: SharedMemory | None = None,
        wait_for_ready: bool = False,
        use_http_proxy: bool = False,
        channel_options: Mapping[str, int | str | bytes] | None = None,
    ) -> None:
        """Connects nothing yet; the first call does.

        `target` is HOST:PORT or unix:/path. Several servers are a list of HOST:PORT, one text of
        them with commas, or dns:///NAME:PORT for all addresses of a name. Calls then take turns
        among the servers that are healthy. A call that one of them leaves unanswered, or refuses
        for now, is sent again to another one, up to five times within its timeout: a loss depends
        on its request alone. Names are looked up again every 30 s. Where servers come and go, a
        function without arguments returns the list, which may be empty for now. It is called
        on a thread, every 5 s while the client is used, and an exception leaves the list as it
        was. A call that waits under `wait_for_ready` knows the servers of its beginning.

        `credentials` is a grpc.ChannelCredentials for a server with TLS. None, the default,
        connects without TLS. gRPC checks the certificates of a list's servers against one name,
        which channel_options={"grpc.ssl_target_name_override": NAME} gives if their hosts differ.

        `token` is sent as a bearer token with every call. None, the default, sends none.

        `job` names the training job of every call, such as "resnet-50": the server's metrics show
        its loss, its gradient's norm and what may be wrong with it (lossd_job_*). It is 1 to 64
        printable characters of ASCII. None, the default, names none.

        `stream_above_bytes`, by default 64 MiB, limits one message: if the tensors of a call
        have more bytes together, the call uses StreamLoss, for which the server needs only
        bounded memory. A gradient whose normalizer is a count that depends on the data is then
        scaled by the client, which rounds it a second time. Above 2 GiB every call does so. Below
        that, rows whose divisors are counts are sent in one message, because a stream cannot
        compute them.

        `shared_memory` is a connection to the same, only server. With it, arrays in shared memory
        and tensors on a GPU are passed by reference, and PyTorch logits on a GPU receive their
        gradient as a new tensor there. Without it (None, the default), a tensor on a GPU can be
        sent only if its library converts it to NumPy implicitly.

        `wait_for_ready`: True lets a call wait until the server is there, for as long as its
        timeout allows; False, the default, lets it fail at once with UNAVAILABLE.

        `use_http_proxy`: True lets gRPC ask the proxy that grpc_proxy, https_proxy or http_proxy
        names in the environment, except for a Unix socket and for this host. False, the default,
        connects without one.

        `channel_options` are further options of the gRPC channel, and replace those that the
        client sets. None, the default, adds nothing.

        A client can be pickled, as its arguments, unless it has credentials. A forked process
        may use it and has a connection of its own, unless gRPC was in use during the fork: a
        call then raises RuntimeError.

        Raises TypeError or ValueError; the message begins with the name of the argument.
        """
        self._given = address.targets("target", target)
        self._target = self._given.text
        if credentials is not None and not isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError(f"credentials: {credentials!r} is not a grpc.ChannelCredentials")
        self._credentials = credentials
        self._shared_memory = shared.checked("shared_memory", shared_memory)
        self._stream_above_bytes = arguments.at_least("stream_above_bytes", stream_above_bytes, 0)
        self._token = arguments.token("token", token) if token is not None else None
        self._job = arguments.job("job", job) if job is not None else None
        self._metadata = _metadata(self._token, self._job)
        self._wait_for_ready = arguments.truth("wait_for_ready", wait_for_ready)
        self._use_http_proxy = arguments.truth("use_http_proxy", use_http_proxy)
        self._channel_options = arguments.channel_options("channel_options", channel_options or {})
        self._check_several()
        # A client of several servers sends requests again, and one of a list looks its names up.
        self._retries = Retries() if self._given.several else None
        looked_up = self._given.function or self._given.listed
        self._lookups = Lookups(looked_up) if looked_up else None
        # A call with fewer bytes of tensors, and without options, is one message.
        self._plain_bytes = min(self._stream_above_bytes, streaming.LARGEST_MESSAGE)
        self._named_calls = NamedCalls()
        # Parts of the shared memory that lossd.torch uses again; this client's end frees them.
        self._places: Any = None
        # Those that AsyncClient.close() ends: gRPC does not find their streams.
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed = False
        _keep_freed_memory()
        # One for each process, or for each event loop.
        self._connections: dict[Any, Connection] = {}

    @abc.abstractmethod
    def server_info(
        self, timeout: float | None = None
    ) -> loss_service_pb2.GetServerInfoResponse | Awaitable[loss_service_pb2.GetServerInfoResponse]:
        """Returns the server's version, backends, limits and supported types.

        `timeout` is in seconds and above 0; None waits as long as the server takes. Raises
        LossdError if the server does not answer.
        """

    @abc.abstractmethod
    def close(self) -> None | Awaitable[None]:
        """Closes the channel and ends calls under way. Later calls of close() do nothing.

        Any other method raises ValueError afterwards.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        if self._credentials is not None:
            raise TypeError(
                f"{type(self).__name__}: credentials cannot be pickled; "
                "make the client in the process that uses it"
            )
        options = {
            "token": self._token,
            "job": self._job,
            "stream_above_bytes": self._stream_above_bytes,
            "shared_memory": self._shared_memory,
            "wait_for_ready": self._wait_for_ready,
            "use_http_proxy": self._use_http_proxy,
            "channel_options": self._channel_options,
        }
        return _unpickled, (type(self), self._given.given, options)

    def _check_several(self) -> None:
        """Raises ValueError for what only a client of one server can do."""
        if not self._given.several:
            return
        if self._shared_memory is not None:
            raise ValueError(
                f"shared_memory: its regions are one server's, and {self._target!r} names several; "
                "make a client of that server alone"
            )
        hosts = {one.rpartition(":")[0].lower() for one in self._given.listed}
        if len(hosts) < 2 and self._given.function is None:
            return
        if self._use_http_proxy:
            raise ValueError("use_http_proxy: a proxy is asked for one name, not for a list")
        named = any(option in self._channel_options for option in _CERTIFICATE_NAMES)
        if self._credentials is not None and not named:
            raise ValueError(
                "credentials: gRPC checks the certificates of a list's servers against one name; "
                f"give channel_options={{{_CERTIFICATE_NAMES[0]!r}: NAME}}"
            )

    def _connect(self, target: str) -> Connection:
        """Returns a new connection; `target` is that of the servers, or their addresses'.

        Raises ValueError after close(), and RuntimeError where gRPC cannot be used.
        """
        self._check_open()
        forks.check()
        proxied = self._use_http_proxy and not address.is_local(self._target)
        options = {**_OPTIONS, "grpc.enable_http_proxy": int(proxied)}
        if self._given.several:
            options |= _BALANCED
        if self._lookups is not None:  # or the servers would be told the whole list as their name
            options["grpc.default_authority"] = (self._given.listed or ("lossd",))[0]
        options |= self._channel_options
        if self._credentials is None:
            channel = self._grpc.insecure_channel(target, list(options.items()))
        else:
            channel = self._grpc.secure_channel(target, self._credentials, list(options.items()))
        route = Route(self._target, address.proxy() if proxied else None)
        return Connection(channel, target, route)

    def _check_open(self) -> None:
        """Raises ValueError after close()."""
        if self._closed:
            raise ValueError(
                f"this {type(self).__name__} of {self._target} is closed; make a new one"
            )

    def _prepare(
        self, logits: Logits, targets: Targets, options: LossOptions
    ) -> streaming.LossStream | conversion.Call:
        """Returns one loss as a stream or as one message, whichever its size asks for."""
        memory = self._shared_memory
        call = None
        if memory is not None:
            call = self._named_calls.find(logits, targets, options)
        elif not options or options.keys() == _OUT_ALONE:
            out = options.get("gradient_out")
            call = conversion.plain_call(logits, targets, out, self._plain_bytes)
        if call is not None:
            return call
        if options:
            arguments.known(NAMES, options)
        takes = streaming.takes(options)
        limit = self._stream_above_bytes if takes else streaming.LARGEST_MESSAGE
        if streaming.sends_more_than(limit, logits, targets, options, memory):
            return streaming.LossStream(logits, targets, **options)
        call = conversion.to_call(logits, targets, memory=memory, **options)
        if memory is not None:
            self._named_calls.keep(call, targets, options)
        return call

    def _call_options(self, timeout: float | None) -> dict[str, Any]:
        """Returns the keyword arguments with which gRPC starts any of the calls."""
        return {
            "timeout": arguments.seconds("timeout", timeout),
            "metadata": self._metadata,
            "wait_for_ready": self._wait_for_ready,
        }

    def _spend_since(self, began: float, call_options: dict[str, Any]) -> None:
        """Takes from a call's timeout what looking names up has taken since `began`."""
        timeout = call_options["timeout"]
        if self._lookups is not None and timeout is not None:
            call_options["timeout"] = max(timeout - (time.monotonic() - began), 0)


def _metadata(token: str | None, job: str | None) -> list[tuple[str, str]] | None:
    """Returns what every call says of its client, or None for nothing."""
    pairs = [("authorization", f"Bearer {token}")] if token else []
    if job is not None:
        pairs.append(("lossd-job", job))
    return pairs or None


@functools.cache
def _keep_freed_memory() -> None:
    """Lets the C library keep the memory of a call for the next one (D69).

    glibc returns what is freed to the kernel above a limit, and it sets that limit, up to twice
    32 MiB, by the largest block that it has returned. Without this the page faults of a call with
    8 MB of tensors take longer than all that gRPC does.
    """
    bytearray((32 << 20) - (64 << 10))  # its pages are never touched


def _unpickled(kind: type[BaseClient], target: Any, options: dict[str, Any]) -> BaseClient:
    return kind(target, **options)

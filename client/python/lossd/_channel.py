"""The base class of the blocking and the asyncio client."""

from __future__ import annotations

import abc
import functools
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Unpack

import grpc

from lossd import address, arguments, conversion, forks, streaming
from lossd import shared_memory as shared
from lossd.conversion import Logits, Targets
from lossd.errors import Route
from lossd.named_calls import NamedCalls
from lossd.result import LossResult
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


class Connection:
    """A channel and its calls. Requests and replies are bytes, except for server_info()."""

    def __init__(self, channel: Any, route: Route) -> None:
        self.channel = channel
        self.route = route
        self.compute_loss = channel.unary_unary(conversion.COMPUTE_LOSS)
        self.stream_loss = channel.stream_stream(conversion.STREAM_LOSS)
        self.get_server_info = channel.unary_unary(
            conversion.GET_SERVER_INFO,
            request_serializer=loss_service_pb2.GetServerInfoRequest.SerializeToString,
            response_deserializer=loss_service_pb2.GetServerInfoResponse.FromString,
        )


class BaseClient(abc.ABC):
    """The address of one lossd server, and the arguments of the calls to it.

    A subclass chooses one of gRPC's two APIs, sends what this class prepares, and waits for
    the answer in the way of that API.
    """

    # grpc or grpc.aio: both make a channel by functions of the same names and parameters.
    _grpc: ClassVar[Any]

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        stream_above_bytes: int = streaming.STREAM_ABOVE_BYTES,
        shared_memory: SharedMemory | None = None,
        wait_for_ready: bool = False,
        use_http_proxy: bool = False,
        channel_options: Mapping[str, int | str | bytes] | None = None,
    ) -> None:
        """Connects nothing yet; the first call does.

        `target` is HOST:PORT or unix:/path.

        `credentials` is a grpc.ChannelCredentials for a server with TLS. None, the default,
        connects without TLS.

        `token` is sent as a bearer token with every call. None, the default, sends none.

        `stream_above_bytes`, by default 64 MiB, limits one message: if the tensors of a call
        have more bytes together, the call uses StreamLoss, for which the server needs only
        bounded memory. A gradient whose normalizer is a count that depends on the data is then
        scaled by the client, which rounds it a second time. Above 2 GiB every call does so. Below
        that, rows whose divisors are counts are sent in one message, because a stream cannot
        compute them.

        `shared_memory` is a connection to the same server. With it, arrays in shared memory
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
        self._target = address.target("target", target)
        if credentials is not None and not isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError(f"credentials: {credentials!r} is not a grpc.ChannelCredentials")
        self._credentials = credentials
        self._shared_memory = shared.checked("shared_memory", shared_memory)
        self._stream_above_bytes = arguments.at_least("stream_above_bytes", stream_above_bytes, 0)
        self._token = arguments.token("token", token) if token is not None else None
        self._metadata = [("authorization", f"Bearer {self._token}")] if self._token else None
        self._wait_for_ready = arguments.truth("wait_for_ready", wait_for_ready)
        self._use_http_proxy = arguments.truth("use_http_proxy", use_http_proxy)
        self._channel_options = arguments.channel_options("channel_options", channel_options or {})
        # A call with fewer bytes of tensors, and without options, is one message.
        self._plain_bytes = min(self._stream_above_bytes, streaming.LARGEST_MESSAGE)
        self._named_calls = NamedCalls()
        # Parts of the shared memory that lossd.torch uses again; this client's end frees them.
        self._places: Any = None
        self._closed = False
        _keep_freed_memory()
        # One for each process, or for each event loop.
        self._connections: dict[Any, Connection] = {}

    @abc.abstractmethod
    def compute_loss(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult[Any, Any] | Awaitable[LossResult[Any, Any]]:
        """Returns the loss of `logits` and its gradient.

        `logits` are an array, a tensor of PyTorch, or lists of numbers, of float32, float64,
        bfloat16, float16, float8_e4m3fn or float8_e5m2.

        `targets` are one of:

        - an array or tensor of the logits' shape, of any of these types, of uint8, bool, int8,
          int16, int32 or int64; a list is an array too, never a list of labels
        - a sparse array of SciPy, PyTorch, JAX (BCOO, BCSR) or TensorFlow, of zeros and ones
        - lossd.ones(), lossd.ones_from_lists(), lossd.identity() or lossd.bits()

        `timeout` is in seconds and above 0; None, the default, waits as long as the server
        takes.

        The loss:

        - `kind`: "sigmoid_cross_entropy" (the default), "sigmoid_focal", "asymmetric", "poly",
          "quality_focal" or "varifocal"; loss_spec.proto has the formulas and the papers
        - `focal_gamma`, `focal_alpha`: the exponent and the class balance of "sigmoid_focal";
          the paper has 2 and 0.25. The exponent has no default; an alpha of None, the default,
          balances nothing. "poly" takes both, "quality_focal" the exponent (its paper has 2),
          and "varifocal" both, where an alpha of None is 0.75
        - `poly_epsilon`: the factor of the term that "poly" adds; the paper has 1
        - `soft_targets`: what a target between 0 and 1 means to "sigmoid_focal" and "poly":
          "linear" (the default) in the probability, or "mixture" of the two losses
        - `detach_focus`: True takes the powers of "sigmoid_focal" and "asymmetric" as constants
          in the derivatives; the default is False
        - `asymmetric_gamma_positive`, `asymmetric_gamma_negative`, `asymmetric_margin`: the
          exponents and the margin of "asymmetric"; the paper has 1, 4 and 0.05. At least one has
          to be given, and the others are 0
        - `label_smoothing`: e in [0, 1) makes a target t (1 - e) + e label_smoothing_prior; the
          default is 0
        - `label_smoothing_prior`: in [0, 1]; None, the default, is 1/2
        - `weights`: of the elements, broadcast to the logits' shape as NumPy does; the default,
          None, is 1
        - `pos_weight`: of the positive term, broadcast likewise; the default, None, is 1

        Which elements take part:

        - `ignore_target`: elements whose target equals this take no part; NaN stands for every
          NaN, as tables have it for a missing label. None, the default, ignores none.
          normalizer="elements" still counts them; "valid" does not
        - `target_range`: "unit_interval" (the default) refuses a target outside [0, 1], "any"
          takes any finite one
        - `target_shape_rule`: "same" (the default) takes targets of the logits' shape,
          dimensions of 1 apart; "same_count" those with as many elements and the same first
          dimension, in row-major order
        - `nan_policy`: "reject" (the default) refuses a NaN logit and weights that are not
          finite; "propagate" counts the NaN logits and returns NaN

        How the losses are reduced:

        - `reduction`: "mean" (the default) divides the sum by the normalizer, "sum" does not,
          "none" returns a loss for each element, "rows" one for each index of the first
          dimension, and "mean_of_rows" the mean of those over rows with valid elements
        - `normalizer`, with "mean" and, counted within each row, with "rows" and "mean_of_rows":
          "elements" (the default, or None) is their number,
          "valid" that of those that are not ignored, "batch" the first dimension,
          "nonzero_weights" and "weight_sum" are of the weights, and "caller" is
          `normalizer_value`. A count is at least 1, so an empty batch has the loss 0
        - `normalizer_value`: above 0; only with, and needed by, normalizer="caller". The ranks
          of a data-parallel job give the elements of all ranks, divided by the ranks where
          their gradients are averaged
        - `loss_weight`: scales loss, losses and derivatives; the default, None, is 1
        - `losses_dtype`, only with "none" and "rows": the type of the losses, as `gradient_dtype`
          is that of the gradient; None, the default, is the logits' type

        The gradient:

        - `gradient`: False returns the loss alone; the default is True
        - `gradient_dtype`: "float32", "float64", "bfloat16", "float16", "float8_e4m3fn",
          "float8_e5m2", or such a dtype of NumPy, ml_dtypes or PyTorch; None, the default, is the
          logits' type. A mean over many elements has a gradient that is 0 in float8
        - `gradient_out`: an array or tensor of the logits' shape that receives the gradient, and
          is returned as it; its type is the gradient's. The server writes it there itself if it
          lies in shared memory or on a GPU. None, the default, makes a new one. After an error
          its contents are undefined
        - `upstream_gradient`: scales the gradient, not the loss: one number; or with
          reduction="none" an array that broadcasts to the logits' shape; or with "rows" one
          number for each row. The default, None, is 1
        - `second_derivative`: True returns the second derivative by each logit as well, which is
          the diagonal of the Hessian and has no other elements. It has the gradient's type and
          scale; the default is False
        - `second_derivative_out`, only with second_derivative=True: receives the second derivative
          as `gradient_out` does the gradient. If both are given, they have one type and do not
          overlap. None, the default, makes a new one

        `request_id` is written to the server's log and returned; the default is "".

        Raises LossdError if the server does not answer with a loss or cannot use the memory of
        a tensor; ValueError or TypeError, which begin with the argument's name, for arguments
        that cannot be sent; ValueError after close(); RuntimeError in a process that was forked
        while gRPC was in use.
        """

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
            "stream_above_bytes": self._stream_above_bytes,
            "shared_memory": self._shared_memory,
            "wait_for_ready": self._wait_for_ready,
            "use_http_proxy": self._use_http_proxy,
            "channel_options": self._channel_options,
        }
        return _unpickled, (type(self), self._target, options)

    def _connect(self) -> Connection:
        """Returns a new connection.

        Raises ValueError after close(), and RuntimeError where gRPC cannot be used.
        """
        if self._closed:
            raise ValueError(
                f"this {type(self).__name__} of {self._target} is closed; make a new one"
            )
        forks.check()
        proxied = self._use_http_proxy and not address.is_local(self._target)
        options = {**_OPTIONS, "grpc.enable_http_proxy": int(proxied), **self._channel_options}
        if self._credentials is None:
            channel = self._grpc.insecure_channel(self._target, list(options.items()))
        else:
            channel = self._grpc.secure_channel(
                self._target, self._credentials, list(options.items())
            )
        return Connection(channel, Route(self._target, address.proxy() if proxied else None))

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


@functools.cache
def _keep_freed_memory() -> None:
    """Lets the C library keep the memory of a call for the next one (D69).

    glibc returns what is freed to the kernel above a limit, and it sets that limit, up to twice
    32 MiB, by the largest block that it has returned. Without this the page faults of a call with
    8 MB of tensors take longer than all that gRPC does.
    """
    bytearray((32 << 20) - (64 << 10))  # its pages are never touched


def _unpickled(kind: type[BaseClient], target: str, options: dict[str, Any]) -> BaseClient:
    return kind(target, **options)

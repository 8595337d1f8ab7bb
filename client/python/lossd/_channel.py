"""The base class of the blocking and the asyncio client."""

from __future__ import annotations

import abc
from collections.abc import Awaitable
from typing import Any, ClassVar, Unpack

import grpc
from numpy.typing import ArrayLike

from lossd import arguments, conversion, streaming
from lossd import shared_memory as shared
from lossd.conversion import LossResult, Targets
from lossd.shared_memory import SharedMemory
from lossd.spec import LossOptions, check_names
from lossd.v1 import loss_service_pb2


class BaseClient(abc.ABC):
    """A gRPC channel to one lossd server, and the arguments of the calls over it.

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
    ) -> None:
        """Prepares a channel; the first call connects it.

        `target` is HOST:PORT or unix:/path.

        `credentials` is a grpc.ChannelCredentials for a server with TLS. None connects
        without TLS.

        `token` is sent as a bearer token with every call.

        `stream_above_bytes` limits one message: if the tensors of a call have more bytes
        together, the call uses StreamLoss, for which the server needs only bounded memory. A
        gradient whose normalizer is a count that depends on the data is then scaled by the
        client, which rounds it a second time.

        `shared_memory` is a connection to the same server. With it, arrays in shared memory
        and tensors on a GPU are passed by reference, and PyTorch logits on a GPU receive their
        gradient as a new tensor there. Without it, a tensor on a GPU can be sent only if its
        library converts it to NumPy implicitly.

        Raises TypeError or ValueError; the message begins with the name of the argument.
        """
        arguments.target("target", target)
        self._shared_memory = shared.checked("shared_memory", shared_memory)
        self._channel = self._make_channel(target, credentials)
        self._stream_above_bytes = arguments.integer("stream_above_bytes", stream_above_bytes)
        bearer = arguments.token("token", token) if token is not None else ""
        self._metadata = [("authorization", f"Bearer {bearer}")] if bearer else None
        self._compute_loss = self._channel.unary_unary(
            conversion.COMPUTE_LOSS,
            request_serializer=loss_service_pb2.ComputeLossRequest.SerializeToString,
            response_deserializer=loss_service_pb2.ComputeLossResponse.FromString,
        )
        self._stream_loss = self._channel.stream_stream(
            conversion.STREAM_LOSS,
            request_serializer=loss_service_pb2.StreamLossRequest.SerializeToString,
            response_deserializer=loss_service_pb2.StreamLossResponse.FromString,
        )
        self._get_server_info = self._channel.unary_unary(
            conversion.GET_SERVER_INFO,
            request_serializer=loss_service_pb2.GetServerInfoRequest.SerializeToString,
            response_deserializer=loss_service_pb2.GetServerInfoResponse.FromString,
        )

    def _make_channel(self, target: str, credentials: grpc.ChannelCredentials | None) -> Any:
        options = conversion.CHANNEL_OPTIONS
        if credentials is None:
            return self._grpc.insecure_channel(target, options)
        if not isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError(f"credentials: {credentials!r} is not a grpc.ChannelCredentials")
        return self._grpc.secure_channel(target, credentials, options)

    @abc.abstractmethod
    def compute_loss(
        self,
        logits: ArrayLike,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult | Awaitable[LossResult]:
        """Returns the loss of `logits` and its gradient.

        `targets` is an array, a scipy.sparse matrix, or the result of lossd.ones(),
        lossd.identity() or lossd.bits().

        `timeout` is in seconds; None waits as long as the server takes.

        `options` are the fields of lossd.LossOptions. `gradient_out` receives the gradient;
        the server writes it there itself if it lies in shared memory or on a GPU.

        Raises LossdError if the server does not answer with a loss or cannot use the memory of
        a tensor; ValueError or TypeError for arguments that cannot be sent.
        """

    @abc.abstractmethod
    def server_info(
        self, timeout: float | None = None
    ) -> loss_service_pb2.GetServerInfoResponse | Awaitable[loss_service_pb2.GetServerInfoResponse]:
        """Returns the server's version, backends, limits and supported types.

        `timeout` is in seconds; None waits as long as the server takes. Raises LossdError if
        the server does not answer.
        """

    @abc.abstractmethod
    def close(self) -> None | Awaitable[None]:
        """Closes the channel and ends calls under way. Later calls of close() do nothing."""

    def _prepare(
        self, logits: ArrayLike, targets: Targets, options: LossOptions
    ) -> streaming.LossStream | conversion.Call:
        """Returns one loss as a stream or as one message, whichever its size asks for."""
        check_names(dict(options))
        if streaming.sends_more_than(
            self._stream_above_bytes, logits, targets, dict(options), self._shared_memory
        ):
            return streaming.LossStream(logits, targets, **options)
        return conversion.to_call(logits, targets, memory=self._shared_memory, **options)

    def _call_options(self, timeout: float | None) -> dict[str, Any]:
        """Returns the keyword arguments with which gRPC starts any of the calls."""
        return {"timeout": arguments.seconds("timeout", timeout), "metadata": self._metadata}

"""The blocking client."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Unpack

import grpc
from numpy.typing import ArrayLike

from lossd import arguments, conversion, streaming
from lossd import shared_memory as shared
from lossd.conversion import LossResult, Targets
from lossd.errors import from_rpc_error
from lossd.shared_memory import SharedMemory
from lossd.spec import LossOptions, check_names
from lossd.v1 import loss_service_pb2


class Client:
    """Calls one lossd server. Thread-safe. Close it, or use it in a `with` statement.

    `target` is HOST:PORT or unix:/path; `credentials` are a channel's, for a server with
    TLS; `token` is sent as a bearer token. Tensors of more than `stream_above_bytes` go
    through StreamLoss, in bounded memory of the server; a gradient whose normalizer is a
    count that depends on the data is then scaled here, which rounds once more.
    With `shared_memory`, which must be of the same server, its arrays and tensors on GPUs are
    named in a request instead of sent, and the gradient of PyTorch's logits on a GPU is a new
    tensor there. Without it libraries copy them to the host, if they do that unasked.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        stream_above_bytes: int = streaming.STREAM_ABOVE_BYTES,
        shared_memory: SharedMemory | None = None,
    ) -> None:
        arguments.target("target", target)
        self._shared_memory = shared.checked("shared_memory", shared_memory)
        options = conversion.CHANNEL_OPTIONS
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        elif not isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError(f"credentials: {credentials!r} are not a channel's")
        else:
            self._channel = grpc.secure_channel(target, credentials, options)
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

    def compute_loss(
        self,
        logits: ArrayLike,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> LossResult:
        """The loss of `logits` and its gradient; `options` are LossOptions.

        `targets` are an array, a scipy.sparse matrix, or what lossd.ones(),
        lossd.identity() and lossd.bits() make. `gradient_out` is where the gradient is put:
        by the server itself, if it lies in shared memory or on a GPU.

        `timeout` is in seconds; none: as long as it takes. Raises LossdError if the server
        does not answer with a loss or cannot have a tensor's memory, ValueError or TypeError
        for arguments that cannot be sent.
        """
        timeout = arguments.seconds("timeout", timeout)
        check_names(dict(options))
        if streaming.sends_more_than(
            self._stream_above_bytes, logits, targets, dict(options), self._shared_memory
        ):
            stream = streaming.LossStream(logits, targets, **options)
            return self._run(stream, timeout)
        call = conversion.to_call(logits, targets, memory=self._shared_memory, **options)
        call.loan.wait()
        with call.loan.until_answered(call.gradient_out):
            reply = self._call(self._compute_loss, call.request, timeout)
        return conversion.to_result(reply, call.gradient_out)

    def server_info(self, timeout: float | None = None) -> loss_service_pb2.GetServerInfoResponse:
        """What the server is and can do."""
        timeout = arguments.seconds("timeout", timeout)
        return self._call(self._get_server_info, loss_service_pb2.GetServerInfoRequest(), timeout)

    def _run(self, stream: streaming.LossStream, timeout: float | None) -> LossResult:
        try:
            # gRPC takes the messages on a thread of its own while these are read.
            responses = self._stream_loss(
                stream.messages(), timeout=timeout, metadata=self._metadata
            )
            for response in responses:
                stream.add(response)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return stream.result()

    def _call(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def close(self) -> None:
        """Ends calls under way. May be called again."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

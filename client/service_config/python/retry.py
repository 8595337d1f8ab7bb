"""Computes a loss of 2 MB of logits with gRPC's own retries: retry.py HOST:PORT"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import numpy as np
from lossd.v1 import loss_service_pb2, tensor_pb2

SERVICE_CONFIG = (Path(__file__).parent.parent / "service_config.json").read_text()
OPTIONS = [
    ("grpc.service_config", SERVICE_CONFIG),
    # gRPC keeps a request of at most 256 KiB for another attempt unless this says more.
    ("grpc.per_rpc_retry_buffer_size", 64 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


def main(target: str) -> None:
    zeros = np.zeros(1 << 19, np.float32)
    tensor = tensor_pb2.Tensor(shape=zeros.shape, data=zeros.tobytes())
    with grpc.insecure_channel(target, OPTIONS) as channel:
        compute = channel.unary_unary(
            "/lossd.v1.LossService/ComputeLoss",
            request_serializer=loss_service_pb2.ComputeLossRequest.SerializeToString,
            response_deserializer=loss_service_pb2.ComputeLossResponse.FromString,
        )
        request = loss_service_pb2.ComputeLossRequest(logits=tensor, targets=tensor)
        print(compute(request, timeout=30).loss)


main(sys.argv[1])

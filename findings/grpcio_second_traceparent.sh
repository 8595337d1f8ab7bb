#!/usr/bin/env bash
# Package: grpcio 1.85.3.
#
# Behaviour: Only the last of two metadata `traceparent` of one call arrives, in silence, while two of
# another name both arrive. gRPC's core parses the names that it knows into fields with one value.
#
# Guess that other names suggest, written down before the script: both arrive, and the server sees
# that there are two.
#
# Output seen:
#   traceparent: ['second']
#   x-parent: ['first', 'second']
#
# Why it matters: W3C Trace Context has a receiver ignore a traceparent that it gets twice. Behind an
# interceptor that adds one to the caller's own, such a server cannot tell, and traces by the last.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check grpcio==1.85.3

"$scratch/venv/bin/python" - << 'PYTHON'
from concurrent import futures

import grpc

NAMES = ("traceparent", "x-parent")
seen = {}


class Service(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request, context):
        for name in NAMES:
            seen[name] = [value for key, value in context.invocation_metadata() if key == name]
        return b""


server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_generic_rpc_handlers([Service()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
twice = [(name, value) for name in NAMES for value in ("first", "second")]
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    channel.unary_unary("/any.Service/Method")(b"", metadata=twice, timeout=30)
server.stop(None)

for name in NAMES:
    print(f"{name}: {seen[name]}")
assert seen == {"traceparent": ["second"], "x-parent": ["first", "second"]}
PYTHON

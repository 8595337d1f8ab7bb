#!/usr/bin/env bash
# Package: grpcio 1.85.3.
#
# Behaviour: in a handler of the synchronous server, context.time_remaining() of a call without a
# deadline is 9.2e18 seconds, although its documentation says None. That number is no usable
# timeout: passed on to another call, it counts as expired. The asyncio server returns None.
#
# Guess before the run: None.
#
# Output seen: synchronous 9.22e+18, passed on: DEADLINE_EXCEEDED; asyncio None.
#
# Why it matters: a Python service in front of a loss service that hands on the time that is left fails
# every call whose own caller set no deadline, and only those.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  grpcio==1.85.3

"$scratch/venv/bin/python" - << 'PYTHON'
import asyncio
from concurrent import futures

import grpc


def remaining(request, context):
    return repr(context.time_remaining()).encode()


async def remaining_async(request, context):
    return remaining(request, context)


def handlers(behaviour):
    method = grpc.unary_unary_rpc_method_handler(behaviour)
    return (grpc.method_handlers_generic_handler("test", {"Remaining": method}),)


def ask(port, timeout=None):
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        return channel.unary_unary("/test/Remaining")(b"", timeout=timeout).decode()


async def asynchronous():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers(remaining_async))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    answer = await asyncio.to_thread(ask, port)
    await server.stop(None)
    return answer


server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_generic_rpc_handlers(handlers(remaining))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
answer = float(ask(port))
try:
    passed_on = ask(port, timeout=answer)
except grpc.RpcError as error:
    passed_on = error.code().name
server.stop(None).wait()
plain = asyncio.run(asynchronous())
print(f"synchronous {answer:.2e}, passed on: {passed_on}; asyncio {plain}")
assert answer > 1e18 and passed_on == "DEADLINE_EXCEEDED" and plain == "None"
PYTHON

"""Keeps idle streams open with a ping every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

from soak.counterparts import LIBRARIES, Client, Clients, NoCounterpart
from soak.row import Row, judged, not_run
from soak.server import Server, Setting, running

# gRPC's default closes a connection at the third ping that comes too early.
SECONDS = 100
DONE = "an idle stream, a ping every 10 s, the least of grpc-go and grpc-java"


def rows(setting: Setting) -> Iterator[Row]:
    # Pings cannot be hurried: a quick run would see none.
    clients = Clients(setting.folder)
    server = Server(setting)
    with running(server), ExitStack() as stack:
        watching: dict[str, Client] = {}
        for language in LIBRARIES:
            try:
                watching[language] = clients.watch(language, server.address)
            except NoCounterpart as reason:
                yield not_run("ping", DONE, LIBRARIES[language], str(reason))
            else:
                stack.enter_context(watching[language])
        threading.Event().wait(SECONDS)
        for language, client in watching.items():
            report = client.finish()
            yield judged(
                "ping",
                DONE,
                f"{LIBRARIES[language]} {report.version}",
                times=SECONDS // 10,
                lost=int(report.ended != "" or report.messages != 1),
                seen=f"{report.messages} message",
                broken=report.ended.splitlines()[0][:90] if report.ended else "",
            )

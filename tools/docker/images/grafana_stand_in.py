"""Stands in for Grafana, which is in no registry that every machine reaches.

It reads the provisioning as Grafana does, from GF_PATHS_PROVISIONING, and answers on port 3000:

    /api/health                {"database": "ok"} once data source and dashboards are read
    /queries?rate_interval=D   the status and the number of series of each query of the dashboards,
                               sent to the data source

So paths, mounts, the network and the queries of compose.yaml are tried, and nothing of Grafana.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

PROVISIONING = Path(os.environ.get("GF_PATHS_PROVISIONING", "/etc/grafana/provisioning"))


def provisioned(kind: str, key: str) -> list[dict[str, Any]]:
    files = sorted((PROVISIONING / kind).glob("*.yaml"))
    return [item for file in files for item in yaml.safe_load(file.read_text())[key]]


def dashboards() -> list[dict[str, Any]]:
    folders = [Path(each["options"]["path"]) for each in provisioned("dashboards", "providers")]
    return [json.loads(file.read_text()) for folder in folders for file in folder.glob("*.json")]


def data_source() -> str:
    """Returns the URL of the only Prometheus."""
    [source] = [s for s in provisioned("datasources", "datasources") if s["type"] == "prometheus"]
    return str(source["url"])


def queries(rate_interval: str) -> list[str]:
    """Returns the queries of every dashboard, of everything that variables select."""
    found = []
    for dashboard in dashboards():
        values = {v["name"]: v.get("allValue", "") for v in dashboard["templating"]["list"]}
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"].replace("$__rate_interval", rate_interval)
                for name, value in values.items():
                    query = query.replace(f"${name}", value)
                found.append(query)
    return found


def answer(query: str) -> tuple[str, int]:
    """Returns the status that the data source answers with, and the number of series."""
    url = f"{data_source()}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            body = json.load(reply)
    except urllib.error.HTTPError as refusal:
        return f"{refusal.code} {refusal.read().decode()}", 0
    return body["status"], len(body["data"]["result"])


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urllib.parse.urlparse(self.path)
        if url.path == "/api/health":
            self._send(200, {"database": "ok"})
        elif url.path == "/queries":
            interval = urllib.parse.parse_qs(url.query)["rate_interval"][0]
            self._send(200, {query: answer(query) for query in queries(interval)})
        else:
            self._send(404, {"message": "this stand-in has /api/health and /queries alone"})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    assert data_source()
    assert dashboards(), "no dashboard is provisioned"
    ThreadingHTTPServer(("", 3000), Pages).serve_forever()

"""The files in deploy/ fit each other and the Dockerfile."""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import kubernetes_validate
import lossd
import numpy as np
import pytest
import yaml
from running_server import running_server
from test_tls_renewal import make_certificate

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
FLAGS = dict(
    line.removeprefix("--").split("=", 1)
    for line in (DEPLOY / "config" / "lossd.flags").read_text().splitlines()
    if line.startswith("--")
)
MANIFEST = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text)
    assert match, text
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60}[match[2]]


def config_mount(service: str) -> str:
    """Returns where the service finds deploy/config, which must be mounted read-only."""
    volumes: list[str] = COMPOSE["services"][service]["volumes"]
    mounts = [volume.split(":") for volume in volumes]
    [(_, target, mode)] = [m for m in mounts if (DEPLOY / m[0]).resolve() == DEPLOY / "config"]
    assert mode == "ro"
    return target


def test_services_mount_the_one_configuration_and_read_files_that_exist() -> None:
    for service, option in (("lossd", "--flagfile"), ("prometheus", "--config.file")):
        mount = config_mount(service)
        command = COMPOSE["services"][service]["command"]
        [path] = [c.split("=", 1)[1] for c in command if c.startswith(option + "=")]
        relative = Path(path).relative_to(mount)
        assert (DEPLOY / "config" / relative).is_file()


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    grafana = COMPOSE["services"]["grafana"]
    provisioning = grafana["environment"]["GF_PATHS_PROVISIONING"]
    folder = DEPLOY / "config" / Path(provisioning).relative_to(config_mount("grafana"))

    def provisioned(kind: str) -> Any:
        [file] = (folder / kind).glob("*.yaml")
        return yaml.safe_load(file.read_text())

    [source] = provisioned("datasources")["datasources"]
    host, port = source["url"].removeprefix("http://").split(":")
    published = [p.split(":")[-1] for p in COMPOSE["services"][host]["ports"]]
    assert published == [port]
    scrape = yaml.safe_load((DEPLOY / "config" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]

    [provider] = provisioned("dashboards")["providers"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    dashboard = Path(mounts["./dashboard.json"])
    assert dashboard.parent == Path(provider["options"]["path"])
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home) == dashboard


def test_every_port_is_open_on_loopback_alone() -> None:
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_named_volumes_are_declared_and_used() -> None:
    used = {
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service["volumes"]
        if not volume.startswith("./")
    }
    assert used == set(COMPOSE["volumes"])


def test_ports_agree_between_flags_image_compose_and_prometheus() -> None:
    [exposed] = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    ports = {FLAGS["listen"].split(":")[-1], FLAGS["metrics_listen"].split(":")[-1]}
    assert ports == set(exposed.split())
    published = [p.split(":") for p in COMPOSE["services"]["lossd"]["ports"]]
    assert {inside for _, _, inside in published} == ports
    scrape = yaml.safe_load((DEPLOY / "config" / "prometheus.yml").read_text())
    [job] = scrape["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in COMPOSE["services"]
    assert port == FLAGS["metrics_listen"].split(":")[-1]


def test_a_stopped_server_has_time_to_drain() -> None:
    grace = seconds(COMPOSE["services"]["lossd"]["stop_grace_period"])
    assert grace > seconds(FLAGS["drain_timeout"])


def test_image_runs_as_a_numbered_user_and_is_probed_over_grpc() -> None:
    last_stage = DOCKERFILE.split("\nFROM ")[-1]
    [user] = re.findall(r"^USER (\d+):\d+$", last_stage, re.MULTILINE)
    assert int(user) != 0
    assert re.search(r"^HEALTHCHECK .*\\\n\s*CMD lossctl health", last_stage, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", last_stage, re.MULTILINE)


def test_every_flag_in_the_file_is_a_flag_of_the_server() -> None:
    server = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "server" / "lossd"
    told = subprocess.run([str(server), "--help"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^ +--(\w+)=", told.stdout, re.MULTILINE))
    assert set(FLAGS) <= known, set(FLAGS) - known


def test_prometheus_accepts_its_configuration() -> None:
    subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "config" / "prometheus.yml")],
        check=True,
    )


def test_each_alert_fires_for_its_failure_and_for_no_other() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(DEPLOY / "config" / "alerts_test.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    rules = yaml.safe_load((DEPLOY / "config" / "alerts.yml").read_text())["groups"][0]["rules"]
    tested = (DEPLOY / "config" / "alerts_test.yml").read_text()
    assert all(f'alertname="{rule["alert"]}"' in tested for rule in rules)


def test_alerts_and_dashboard_name_metrics_that_the_server_has(tmp_path: Path) -> None:
    rules = (DEPLOY / "config" / "alerts.yml").read_text()
    dashboard = (DEPLOY / "dashboard.json").read_text()
    json.loads(dashboard)
    named = set(re.findall(r"\b((?:lossd|process)_[a-z_]+)[\[{]", rules + dashboard))
    assert len(named) > 15
    # Some metrics are of servers with TLS or tokens alone.
    make_certificate(tmp_path, "tls")
    (tmp_path / "tokens").write_text("token\n")
    secure = (
        f"--tls_cert={tmp_path}/tls.pem",
        f"--tls_key={tmp_path}/tls.key",
        f"--token_file={tmp_path}/tokens",
    )
    with running_server(*secure, "--otlp_endpoint=http://127.0.0.1:9/v1/traces") as server:
        # And those of jobs have no series before a call names one.
        credentials = grpc.ssl_channel_credentials((tmp_path / "tls.pem").read_bytes())
        with lossd.Client(
            server.address, credentials=credentials, token="token", job="a"
        ) as client:
            client.compute_loss(np.zeros(3), np.zeros(3))
        url = f"http://{server.metrics}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            page = answer.read().decode()
    # Families without a series yet, such as those of devices, still have a HELP line.
    known = set(re.findall(r"^(?:# HELP )?([a-z_]+)", page, re.MULTILINE))
    assert named <= known, named - known


@pytest.mark.parametrize("version", ["1.28", "1.33", "1.37"])
def test_kubernetes_accepts_the_manifest(version: str) -> None:
    for document in MANIFEST:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_manifest_agrees_with_flags_and_image() -> None:
    of_kind = {manifest["kind"]: manifest for manifest in MANIFEST}
    pod = of_kind["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    ports = {str(port["containerPort"]) for port in container["ports"]}
    assert ports == {FLAGS["listen"].split(":")[-1], FLAGS["metrics_listen"].split(":")[-1]}
    assert pod["terminationGracePeriodSeconds"] > seconds(FLAGS["drain_timeout"]) + 5
    [mount] = container["volumeMounts"]
    assert container["args"] == [f"--flagfile={mount['mountPath']}/lossd.flags"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    lines = of_kind["ConfigMap"]["data"]["lossd.flags"].splitlines()
    assert {f"--{name}={value}" for name, value in FLAGS.items()} <= set(lines)


def compose_command() -> list[str] | None:
    built = str(ROOT / "build" / "bin" / "docker-compose")
    for command in (["docker", "compose"], [built], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run(
            [*command, "version", "--short"], check=False, capture_output=True, text=True
        )
        # The first Compose, which Debian has, cannot read overrides of lists.
        if asked.returncode == 0 and not asked.stdout.startswith("1."):
            return command
    return None


@pytest.mark.parametrize(
    "overrides",
    [[], ["compose.override.yaml"], ["compose.override.yaml", "images/compose.images.yaml"]],
)
def test_compose_accepts_the_file(overrides: list[str]) -> None:
    command = compose_command()
    if command is None:
        pytest.skip("compose is not installed")
    trial = ROOT / "tools" / "docker"
    files = [DEPLOY / "compose.yaml", *(trial / name for name in overrides)]
    named = [word for file in files for word in ("-f", str(file))]
    subprocess.run([*command, *named, "config", "--quiet"], check=True)

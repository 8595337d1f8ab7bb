"""What the Helm chart renders: valid for each release of Kubernetes, and what the docs say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from chart import (
    CHART,
    EXAMPLES,
    ROOT,
    Values,
    container_of,
    flags_of,
    needs_helm,
    of_kind,
    pod_of,
    refusal,
    render,
    run_helm,
)

pytestmark = needs_helm

VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
# kubernetes-validate has no schemas of these; docs/kubernetes.md says how they were checked.
OF_OTHERS = ("monitoring.coreos.com", "cert-manager.io", "keda.sh")
EVERYTHING: Values = {
    "service": {"annotations": {"a": "b"}},
    "imagePullSecrets": [{"name": "pull"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "a"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [],
    "priorityClassName": "high",
    "serviceAccount": {"annotations": {"a": "b"}},
    "podDisruptionBudget": {"maxUnavailable": "25%"},
    "networkPolicy": {
        "clients": [{"podSelector": {"matchLabels": {"job": "train"}}}],
        "egress": [{"ports": [{"port": 4318}]}],
    },
    "autoscaling": {"kind": "hpa"},
}
MEBI = 1 << 20


def example(name: str) -> Values:
    values: Values = yaml.safe_load((CHART / "examples" / f"{name}.yaml").read_text())
    return values


CASES = {path.stem: example(path.stem) for path in EXAMPLES} | {
    "defaults": {},
    "everything": EVERYTHING,
}
each_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())


@each_case
def test_lint_finds_nothing(values: Values) -> None:
    done = run_helm("lint --strict", values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@each_case
def test_kubernetes_accepts_it(values: Values) -> None:
    manifests = [
        manifest for manifest in render(values) if not manifest["apiVersion"].startswith(OF_OTHERS)
    ]
    assert len(manifests) >= 5
    for manifest in manifests:
        # Each release takes a second, so all of them are asked about one case alone.
        for version in VERSIONS if values is EVERYTHING else (VERSIONS[0], VERSIONS[-1]):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_release_that_is_too_old_is_refused() -> None:
    done = run_helm("template lossd", "--kube-version=1.28.0")
    assert done.returncode != 0
    assert "1.29" in done.stderr


def test_the_manifest_beside_the_chart_is_what_it_renders() -> None:
    lines = (ROOT / "deploy" / "kubernetes.yaml").read_text().splitlines(keepends=True)
    [command] = [line for line in lines if line.startswith("#   helm template ")]
    rendered = run_helm("template lossd").stdout
    assert "".join(lines).endswith(rendered), f"write it anew:\n{command}"


def test_the_schema_has_the_flags_of_the_server() -> None:
    server = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "server" / "lossd"
    told = subprocess.run([str(server), "--help"], capture_output=True, text=True, check=False)
    flags = set(re.findall(r"^ +--(\w+)=", told.stdout, re.MULTILINE))
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    known = set(schema["properties"]["flags"]["properties"])
    not_settings = {"help", "version", "flagfile", "completion"}
    assert known == flags - not_settings, "properties.flags of values.schema.json"


def test_large_numbers_reach_the_server_as_digits() -> None:
    values = {"flags": {"max_inflight_bytes": 1 << 30, "channelz": True, "log_level": "debug"}}
    flags = flags_of(render(values))
    assert flags["max_inflight_bytes"] == "1073741824"
    assert flags["channelz"] == "true"
    assert flags["log_level"] == "debug"


@pytest.mark.parametrize("drain", [(5, 20, 5), (0, 0, 1), (10, 120, 7)])
def test_the_grace_period_adds_up(drain: tuple[int, int, int]) -> None:
    delay, timeout, margin = drain
    names = ("delaySeconds", "timeoutSeconds", "marginSeconds")
    manifests = render({"drain": dict(zip(names, drain, strict=True))})
    assert pod_of(manifests)["terminationGracePeriodSeconds"] == sum(drain)
    flags = flags_of(manifests)
    assert (flags["drain_delay"], flags["drain_timeout"]) == (f"{delay}s", f"{timeout}s")


def test_plaintext_is_probed_by_grpc_and_tls_by_lossctl() -> None:
    plain = container_of(render())
    assert plain["startupProbe"]["grpc"] == plain["readinessProbe"]["grpc"] == {"port": 50051}
    assert plain["livenessProbe"]["tcpSocket"] == {"port": "grpc"}
    manifests = render(example("mutual-tls"))
    command = container_of(manifests)["readinessProbe"]["exec"]["command"]
    assert command[:2] == ["lossctl", "health"]
    assert "--target=lossd.default.svc:50051" in command
    assert "--tls_cert=/run/secrets/lossd/tls/tls.crt" in command
    [alias] = pod_of(manifests)["hostAliases"]
    assert alias == {"ip": "127.0.0.1", "hostnames": ["lossd.default.svc"]}
    tokens = container_of(render({"tokens": {"secret": "t"}}))
    assert "exec" in tokens["startupProbe"]
    over_http = container_of(render({"tls": {"secret": "t"}, "probes": {"type": "http"}}))
    assert over_http["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_the_container_may_do_nothing_that_it_need_not() -> None:
    manifests = render()
    pod, container = pod_of(manifests), container_of(manifests)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    image_user = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    assert (str(user), str(group)) == image_user[-1]


def test_shared_memory_has_its_own_part_of_the_limit() -> None:
    manifests = render(example("daemonset"))
    flags = flags_of(manifests)
    assert flags["shared_memory_socket"] == "/run/lossd/lossd.sock"
    shared = int(flags["max_shared_memory_bytes"])
    assert shared == 2 << 30
    in_flight, places = int(flags["max_inflight_bytes"]), int(flags["max_inflight_requests"])
    # The formula of README.md, "What a container needs".
    most = 56 * MEBI + 2.25 * in_flight + 1.25 * places * 64 * 1024
    assert most + shared <= 6 << 30
    paths = {volume["name"]: volume for volume in pod_of(manifests, "DaemonSet")["volumes"]}
    assert paths["socket"]["hostPath"] == {"path": "/run/lossd", "type": "DirectoryOrCreate"}
    assert "PodDisruptionBudget" not in {manifest["kind"] for manifest in manifests}


def test_a_small_limit_has_the_row_of_the_readme() -> None:
    values: Values = {"kind": "DaemonSet", "resources": {"limits": {"memory": "768Mi"}}}
    values["sharedMemory"] = {"max": "512Mi"}
    flags = flags_of(render(values))
    assert round(int(flags["max_inflight_bytes"]) / MEBI) == 80
    assert flags["max_inflight_requests"] == "256"
    assert flags["max_message_bytes"] == flags["max_inflight_bytes"]


def test_a_budget_may_let_every_server_go() -> None:
    budget = {"maxUnavailable": None, "minAvailable": 0}
    manifests = render({"podDisruptionBudget": budget})
    spec = of_kind(manifests, "PodDisruptionBudget")["spec"]
    assert spec["minAvailable"] == 0
    assert "maxUnavailable" not in spec


def test_scrapes_send_the_token_that_metrics_need() -> None:
    values: Values = {"flags": {"metrics_need_token": True}, "tokens": {"secret": "t"}}
    values["serviceMonitor"] = {"enabled": True, "token": {"secret": "scraper"}}
    [endpoint] = of_kind(render(values), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "scraper", "key": "token"}}


def test_gpus_are_limits_and_a_flag() -> None:
    manifests = render(example("gpu"))
    container = container_of(manifests)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"] == "lossd:cuda"
    assert flags_of(manifests)["backend"] == "cuda"


def test_the_name_resolves_to_every_server() -> None:
    assert of_kind(render(), "Service")["spec"]["clusterIP"] == "None"
    local = of_kind(render(example("daemonset")), "Service", "lossd-local")
    assert local["spec"]["internalTrafficPolicy"] == "Local"


def test_an_autoscaler_replaces_the_number_of_servers() -> None:
    assert of_kind(render(), "Deployment")["spec"]["replicas"] == 3
    manifests = render(example("hpa"))
    assert "replicas" not in of_kind(manifests, "Deployment")["spec"]
    [metric] = of_kind(manifests, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["resource"]["name"] == "cpu"
    triggers = of_kind(render(example("keda")), "ScaledObject")["spec"]["triggers"]
    assert [trigger["type"] for trigger in triggers] == ["cpu", "prometheus"]


def test_new_flags_replace_the_pods() -> None:
    def annotations(values: Values) -> dict[str, str]:
        template = of_kind(render(values), "Deployment")["spec"]["template"]
        return dict(template["metadata"]["annotations"])

    old, new = annotations({}), annotations({"flags": {"max_queue_delay": "1ms"}})
    assert old["checksum/flags"] != new["checksum/flags"]


def notes(folder: Path) -> str:
    """Returns NOTES.txt as rendered; helm itself shows it only after an installation."""
    chart = shutil.copytree(CHART, folder / "lossd")
    text = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "_notes.tpl").write_text('{{- define "notes" -}}' + text + "{{ end }}")
    (chart / "templates" / "notes.yaml").write_text(
        "apiVersion: v1\nkind: Notes\nmetadata: {name: lossd}\n"
        'text: {{ include "notes" . | quote }}\n'
    )
    return str(of_kind(render(chart=chart), "Notes")["text"])


def test_notes_name_the_next_commands(tmp_path: Path) -> None:
    text = notes(tmp_path)
    assert "kubectl -n default rollout status deployment/lossd" in text
    assert "dns:///lossd.default.svc:50051" in text
    assert "lossctl health --timeout=2s --target=localhost:50051" in text
    assert "speak plaintext" in text


def test_a_message_of_the_schema_is_one_of_the_chart() -> None:
    assert "lossd:" in refusal({"replicas": "x"})

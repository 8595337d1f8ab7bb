"""Values that the Helm chart refuses, each with a message that names the value."""

from __future__ import annotations

from typing import Any

import pytest
from chart import Values, needs_helm, refusal

pytestmark = needs_helm


def nested(path: str, value: Any) -> Values:
    """Returns the values in which the one at `path`, such as tls.secret, is `value`."""
    values: Any = value
    for name in reversed(path.split(".")):
        values = {name: values}
    return dict(values)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("replcas", 2, "'replcas' not allowed"),
        ("tls.secrt", "x", "'secrt' not allowed"),
        ("kind", "StatefulSet", "'/kind'"),
        ("replicas", "three", "'/replicas'"),
        ("replicas", -1, "'/replicas'"),
        ("image.digest", "sha256:12", "'/image/digest'"),
        ("ports.grpc", 443, "'/ports/grpc'"),
        ("flags.max_mesage_bytes", 1000, "'max_mesage_bytes' not allowed"),
        ("drain.timeoutSeconds", "20s", "'/drain/timeoutSeconds'"),
        ("probes.type", "tcp", "'/probes/type'"),
        ("gpu.count", 0.5, "'/gpu/count'"),
        ("resources.limits.memory", "4 GB", "'/resources/limits/memory'"),
        ("resources.limits", {"memory": None}, "'memory'"),
        ("podDisruptionBudget.maxUnavailable", "120%", "'/podDisruptionBudget/maxUnavailable'"),
        ("autoscaling.prometheus", "prometheus:9090", "'/autoscaling/prometheus'"),
        ("sharedMemory.hostPath", "run/lossd", "'/sharedMemory/hostPath'"),
        ("tls.secret", "My_Secret", "'/tls/secret'"),
    ],
)
def test_values_that_do_not_fit_the_schema(path: str, value: Any, said: str) -> None:
    message = refusal(nested(path, value))
    assert "schema" in message
    assert said in message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"terminationGracePeriodSeconds": 29},
            "terminationGracePeriodSeconds: 29 is less than the 30 of drain.delaySeconds (5), "
            "drain.timeoutSeconds (20) and drain.marginSeconds (5) together",
        ),
        ({"flags": {"listen": ":1"}}, "flags.listen: the chart sets this flag from listenHost"),
        ({"flags": {"drain_timeout": "1s"}}, "flags.drain_timeout: the chart sets this flag"),
        ({"flags": {"tls_cert": "x"}}, "flags.tls_cert: the chart sets this flag from tls.secret"),
        (
            {"flags": {"metrics_need_token": True}},
            "flags.metrics_need_token: true needs tokens.secret",
        ),
        (
            {
                "flags": {"metrics_need_token": True},
                "tokens": {"secret": "t"},
                "serviceMonitor": {"enabled": True},
            },
            "serviceMonitor.token.secret: flags.metrics_need_token asks scrapes for a token too",
        ),
        (
            {"flags": {"otlp_endpoint": "http://c:4318/v1/traces"}},
            "networkPolicy.egress: the servers could not reach flags.otlp_endpoint (http://c:4318",
        ),
        (
            {"flags": {"max_inflight_bytes": 1 << 20, "max_message_bytes": 4 << 30}},
            "resources.limits.memory: 4Gi leaves",
        ),
        ({"ports": {"metrics": 50051}}, "ports.metrics: 50051 is ports.grpc too"),
        (
            {"gpu": {"count": 1}, "flags": {"backend": "cpu"}},
            "gpu.count: 1 GPUs would be unused",
        ),
        (
            {"tls": {"secret": "a", "certManager": {"enabled": True, "issuer": {"name": "i"}}}},
            'tls.secret: "a" and tls.certManager.enabled exclude each other',
        ),
        ({"tls": {"certManager": {"enabled": True}}}, "tls.certManager.issuer.name: "),
        ({"tls": {"clientCaSecret": "a"}}, 'tls.clientCaSecret: "a" needs tls.secret'),
        ({"tokens": {"probeKey": "a"}}, 'tokens.probeKey: "a" needs tokens.secret'),
        (
            {"tls": {"secret": "a"}, "probes": {"type": "grpc"}},
            "probes.type: a gRPC probe speaks plaintext",
        ),
        (
            {"resources": {"limits": {"memory": "128Mi"}}},
            "resources.limits.memory: 128Mi is less than the 256Mi",
        ),
        (
            {"flags": {"max_inflight_bytes": 4 << 30}},
            "resources.limits.memory: 4Gi leaves 4294967296 bytes for requests, but",
        ),
        (
            {"kind": "DaemonSet", "sharedMemory": {"max": "4Gi"}},
            "resources.limits.memory: 4Gi leaves 0 bytes beside sharedMemory.max (4Gi)",
        ),
        (
            {"kind": "DaemonSet", "autoscaling": {"kind": "hpa"}},
            "autoscaling.kind: hpa cannot scale a DaemonSet",
        ),
        (
            {"autoscaling": {"kind": "hpa", "minReplicas": 4, "maxReplicas": 3}},
            "autoscaling.minReplicas: 4 is more than autoscaling.maxReplicas (3)",
        ),
        (
            {
                "autoscaling": {
                    "kind": "hpa",
                    "cpuUtilization": None,
                    "queueSecondsPerComputeSecond": None,
                }
            },
            "so there is nothing to scale on",
        ),
        ({"autoscaling": {"kind": "keda"}}, "autoscaling.prometheus: keda needs the address"),
        ({"service": {"local": True}}, "service.local: a node without a server"),
        (
            {"podDisruptionBudget": {"minAvailable": 1}},
            "podDisruptionBudget.maxUnavailable: exactly one of it and",
        ),
        (
            {"podDisruptionBudget": {"maxUnavailable": None, "minAvailable": 3}},
            "podDisruptionBudget.minAvailable: with 3 of 3 servers no node could ever be drained",
        ),
        (
            {"podDisruptionBudget": {"maxUnavailable": None, "minAvailable": "67%"}},
            "podDisruptionBudget.minAvailable: with 3 of 3 servers no node could ever be drained",
        ),
        (
            {"kind": "DaemonSet", "sharedMemory": {"hostPath": "/var/lib"}},
            "sharedMemory.hostPath: /var/lib belongs to the node's system",
        ),
        (
            {"kind": "DaemonSet", "sharedMemory": {"hostPath": "/run"}},
            "sharedMemory.hostPath: /run belongs to the node's system",
        ),
        (
            {"podDisruptionBudget": {"maxUnavailable": 0}},
            "podDisruptionBudget.maxUnavailable: without any disruption",
        ),
    ],
)
def test_values_that_do_not_fit_each_other(values: Values, said: str) -> None:
    assert said in refusal(values)

"""The rule that scales servers, on a load that was recorded from three of them.

recorded_load.json has what tools/record_load.py read: for 100 seconds one server got more than it
could compute, while another got a request every other second and a third one nothing; then
the load ended.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml
from chart import CHART, needs_helm, of_kind, render

RULES = CHART / "files" / "scaling.yml"
LOAD = json.loads((Path(__file__).parent / "recorded_load.json").read_text())
BUSY = LOAD["loaded"]  # seconds: the end of the load
QUIET = BUSY + 150  # when the rule no longer sees the load
RULE = "sum(lossd:queue_seconds_per_compute_second)"
# This is the obvious rule: the mean of each server's own quotient.
MEAN = (
    "avg(rate(lossd_queue_seconds_sum[2m]) / ignoring(backend) rate(lossd_compute_seconds_sum[2m]))"
)

Series = list[dict[str, str]]


def series_of(*instances: str, namespace: str = "default") -> Series:
    return [
        {**line, "series": line["series"].replace("default", namespace)}
        for line in LOAD["series"]
        if any(f'instance="{name}"' in line["series"] for name in instances)
    ]


def check(folder: Path, series: Series, *rows: tuple[int, str, bool]) -> None:
    """Lets promtool evaluate comparisons without labels: (second, comparison, its result)."""
    test = {
        "interval": f"{LOAD['interval']}s",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": comparison,
                "eval_time": f"{second}s",
                "exp_samples": [{"labels": "{}", "value": int(result)}],
            }
            for second, comparison, result in rows
        ],
    }
    file = folder / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "5s", "tests": [test]})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_busy_server_asks_for_more_and_a_quiet_fleet_does_not(tmp_path: Path) -> None:
    check(
        tmp_path,
        series_of("busy", "trickle", "idle"),
        (BUSY, f"{RULE} > bool 1", True),
        (QUIET, f"{RULE} == bool 0", True),
    )


def test_idle_servers_change_nothing(tmp_path: Path) -> None:
    alone = series_of("busy", namespace="alone")
    beside = series_of("busy", "trickle", "idle", namespace="beside")
    one, other = (RULE.replace(")", f'{{namespace="{name}"}})') for name in ("alone", "beside"))
    check(tmp_path, alone + beside, (BUSY, f"{one} == bool {other}", True))


def test_the_mean_of_quotients_is_misled(tmp_path: Path) -> None:
    """The recording has what misleads: an idle server whose one request waited longer than it
    took, and one that has no quotient."""
    check(
        tmp_path,
        series_of("trickle"),
        (QUIET, f"{MEAN} > bool 100", True),
        (QUIET, f"{RULE} == bool 0", True),
    )
    check(
        tmp_path,
        series_of("busy", "idle"),
        (BUSY, f"{MEAN} > bool 1", False),
        (BUSY, f"{RULE} > bool 1", True),
    )


@needs_helm
def test_the_chart_gives_prometheus_these_rules_and_the_alerts() -> None:
    groups = of_kind(render({"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]
    alerts = yaml.safe_load((CHART.parents[1] / "config" / "alerts.yml").read_text())
    assert groups["groups"] == alerts["groups"] + yaml.safe_load(RULES.read_text())["groups"]

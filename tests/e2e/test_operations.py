"""The page for operators, the alerts and the table of failures name the same things."""

import os
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
GROUPS = yaml.safe_load((ROOT / "deploy" / "config" / "alerts.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def failures() -> list[list[str]]:
    """Returns the cells of each row of ARCHITECTURE.md's table of failures."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text.split("| failure | answer | told by |\n|---|---|---|\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()]


def test_each_alert_has_a_section_that_its_annotation_names() -> None:
    sections = re.findall(r"^### (Lossd\w+)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"


def test_a_section_says_how_urgent_its_alert_is() -> None:
    for name, rule in ALERTS.items():
        section = PAGE.split(f"### {name}\n\n")[1]
        severity = rule["labels"]["severity"]
        assert section.startswith(f"*{severity.capitalize()}.* "), name


def test_each_failure_names_alerts_or_why_nobody_is_told() -> None:
    rows = failures()
    assert len(rows) > 30
    named = set()
    for failure, _, told in rows:
        alerts = set(re.findall(r"`(Lossd\w+)`", told))
        assert alerts <= set(ALERTS), failure
        assert alerts or re.match(r"none: \w+", told), failure
        named |= alerts
    # These watch what comes before a failure.
    assert set(ALERTS) - named <= {"LossdSaturated"}


def test_the_page_names_each_flag_of_the_server_and_no_other() -> None:
    server = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "server" / "lossd"
    told = subprocess.run([str(server), "--help"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^ +--(\w+)=", told.stdout, re.MULTILINE))
    table = PAGE.split("## Flags\n")[1]
    assert set(re.findall(r"`--(\w+)`", table)) == known | {"help", "version"}

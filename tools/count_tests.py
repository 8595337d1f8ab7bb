"""Prints a JUnit report's counts on a line of their own, and the reasons of skips.

A file of Python tests is one test in the report. The tests skipped inside it are named, but
not counted.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

report = Path(sys.argv[1])
if not report.exists():
    sys.exit("no test was run: there is no report")
cases = ElementTree.parse(report).getroot().findall("testcase")


def reason(output: list[str]) -> str:
    """Returns the reason, which GoogleTest prints on the line after `file.cc:21: Skipped`."""
    for line, following in zip(output, output[1:], strict=False):
        if line.endswith(": Skipped"):
            return following.strip()
    return "no reason given"


skipped = [case for case in cases if case.get("status") in ("notrun", "disabled")]
failed = [case for case in cases if case.get("status") == "fail"]
for case in cases:
    output = (case.findtext("system-out") or "").strip().splitlines()
    if case in skipped:
        print(f"skipped {case.get('name')}: {reason(output)}")
    for line in output:
        if line.startswith("SKIPPED ["):
            print(f"skipped in {case.get('name')}: {line.partition('] ')[2]}")
passed = len(cases) - len(failed) - len(skipped)
print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed or not cases else 0)

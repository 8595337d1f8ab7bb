"""Prints a JUnit report's counts on a line of their own, and the reasons of skips."""

import sys
from xml.etree import ElementTree

suite = ElementTree.parse(sys.argv[1]).getroot()
cases = suite.findall("testcase")
skipped = [case for case in cases if case.get("status") in ("notrun", "disabled")]
failed = [case for case in cases if case.get("status") == "fail"]
for case in skipped:
    output = (case.findtext("system-out") or "").strip().splitlines()
    reason = next((line.strip() for line in output if "kip" in line), "")
    print(f"skipped {case.get('name')}: {reason}")
passed = len(cases) - len(failed) - len(skipped)
print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed or not cases else 0)

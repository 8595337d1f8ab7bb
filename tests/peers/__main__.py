"""Asks every package and lossd, and writes tests/peers/report.json and the table of
docs/coming_from.md: python -m tests.peers [NAME...], with rows whose name contains a NAME.

LOSSD_BINARY_DIR has the server. The exit code is 1 if a row differs or its package is missing.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import lossd
import numpy as np

from tests.e2e.running_server import running_server
from tests.peers import other_rows, program_rows, rows, torch_rows
from tests.peers.rows import Row
from tests.peers.table import write_table

REPORT = Path(__file__).parent / "report.json"
# Float32 arithmetic in another order; timm's eps of 1e-8 in its ASL is the largest.
TOLERANCE = 5e-6


def listed(values: Any) -> Any:
    return None if values is None else np.asarray(values, np.float64).tolist()


def run(client: lossd.Client, row: Row) -> dict[str, Any]:
    """Returns what the package answered, and by how much lossd differs."""
    loss, gradient = row.real(row.logits, row.targets)
    ours = rows.ask_lossd(client, row, row.logits, row.targets)
    found: dict[str, Any] = {
        "versions": {
            name: program_rows.VERSIONS.get(name) or metadata.version(name) for name in row.packages
        },
        "loss": listed(loss),
        "gradient": listed(gradient),
        "loss_difference": rows.close(ours[0], loss),
        "gradient_difference": None if gradient is None else rows.close(ours[1], gradient),
    }
    if row.has_tail:
        theirs = row.real(rows.TAIL_LOGITS, rows.TAIL_TARGETS)
        exact = rows.ask_lossd(client, row, rows.TAIL_LOGITS, rows.TAIL_TARGETS)
        found["tail"] = {
            "loss": listed(theirs[0]),
            "gradient": listed(theirs[1]),
            "lossd_loss": listed(exact[0]),
            "lossd_gradient": listed(exact[1]),
        }
    return found


def main() -> int:
    wanted = sys.argv[1:]
    report = json.loads(REPORT.read_text()) if wanted and REPORT.exists() else {}
    failed = 0
    every = torch_rows.all_rows() + other_rows.all_rows() + program_rows.all_rows()
    with running_server("--log_level=error") as server, lossd.Client(server.address) as client:
        for row in every:
            if wanted and not any(name in row.name for name in wanted):
                continue
            try:
                found = run(client, row)
            except Exception as error:  # the packages raise what they like
                print(f"FAILED {row.name}: {type(error).__name__}: {error}", flush=True)
                failed += 1
                continue
            report[row.name] = found
            report = {known.name: report[known.name] for known in every if known.name in report}
            REPORT.write_text(json.dumps(report, indent=1) + "\n")
            worst = max(found["loss_difference"], found["gradient_difference"] or 0)
            failed += worst > TOLERANCE
            print(f"{'ok' if worst <= TOLERANCE else 'DIFFERS'} {worst:.1e} {row.name}", flush=True)
    write_table(report)
    print(f"{len(report)} rows, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

"""tools/gpu_run.sh with scripts in place of the programs that use a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("lossd_kernel_tests", "lossd_server_tests", "lossd_gpu_tests")

# This program writes a report as GoogleTest does; RESULT is COMPLETED or SKIPPED.
TEST_PROGRAM = """
import sys
for argument in sys.argv:
    if argument.startswith("--gtest_output=json:"):
        with open(argument.partition(":")[2], "w") as report:
            report.write('{"failures": FAILURES, "result": "RESULT"}')
sys.exit(CODE)
"""

SANITIZER = """
import sys
tool = sys.argv[sys.argv.index("--tool") + 1]
print("========= COMPUTE-SANITIZER")
SAY
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o755)


class Bundle:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir(parents=True)
        for name in TESTS:
            self.tests(name)
        program(folder / "bin/gpu_bench", "pass")
        program(folder / "bin/gpu_bench.py", "print('a table')")
        shutil.copy(ROOT / "tools/gpu_run.sh", folder / "run.sh")

    def tests(self, name: str, result: str = "COMPLETED", failures: int = 0, code: int = 0) -> None:
        text = TEST_PROGRAM.replace("RESULT", result).replace("FAILURES", str(failures))
        program(self.folder / "bin" / name, text.replace("CODE", str(code)))

    def sanitizer(self, say: str) -> None:
        program(self.tools / "compute-sanitizer", SANITIZER.replace("SAY", say))

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "run.sh"), str(self.folder / "out")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}"},
        )


def test_a_run_without_errors_passes_and_keeps_the_table(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    bundle.sanitizer(
        "print('RACECHECK SUMMARY: 0 hazards displayed' if tool == 'racecheck' "
        "else 'ERROR SUMMARY: 0 errors')"
    )
    done = bundle.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    for tool in ("memcheck", "initcheck", "synccheck", "racecheck"):
        assert f"{tool} of lossd_kernel_tests: no errors" in done.stdout
    assert "memcheck of lossd_server_tests: no errors" in done.stdout
    assert (tmp_path / "bundle/out/table.txt").read_text(encoding="utf-8") == "a table\n"


def test_skipped_failed_and_aborted_tests_fail_the_run_but_do_not_stop_it(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    bundle.tests("lossd_kernel_tests", result="SKIPPED")
    bundle.tests("lossd_server_tests", failures=2, code=1)
    program(bundle.folder / "bin/lossd_gpu_tests", "import os\nos.abort()")
    done = bundle.run()
    assert done.returncode == 1
    assert "FAILED: lossd_kernel_tests did not run on a device" in done.stdout
    assert "FAILED: lossd_server_tests, exit code 1" in done.stdout
    assert "FAILED: lossd_gpu_tests did not run on a device" in done.stdout
    assert "a table" in done.stdout


def test_without_a_device_the_run_says_so_and_stops(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    bundle.sanitizer("print('Please rerun under a debugger'); sys.exit(255)")
    for name in TESTS:
        bundle.tests(name, result="SKIPPED")
    done = bundle.run()
    assert done.returncode == 1
    assert "FAILED: there is no device that CUDA can use" in done.stdout.splitlines()[-1]
    assert "debugger" not in done.stdout
    assert "a table" not in done.stdout


def test_errors_of_the_sanitizer_fail_and_an_unsupported_device_does_not(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    bundle.sanitizer("print('========= Error: Device not supported.'); sys.exit(1)")
    refused = bundle.run()
    assert refused.returncode == 0
    assert "memcheck: not run, this machine does not let it" in refused.stdout
    bundle.sanitizer("print('ERROR SUMMARY: 3 errors'); sys.exit(9)")
    found = bundle.run()
    assert found.returncode == 1
    assert "FAILED: memcheck of lossd_kernel_tests, exit code 9" in found.stdout
    bundle.sanitizer("pass")  # without a summary it has checked nothing
    silent = bundle.run()
    assert silent.returncode == 1
    assert "FAILED: memcheck of lossd_kernel_tests reported nothing" in silent.stdout


def test_the_bundles_sanitizer_is_used_where_the_machine_has_none(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    program(
        bundle.folder / "compute-sanitizer/compute-sanitizer",
        SANITIZER.replace("SAY", "print('ERROR SUMMARY: 3 errors'); sys.exit(9)"),
    )
    done = bundle.run()
    assert done.returncode == 1
    assert "FAILED: memcheck of lossd_kernel_tests, exit code 9" in done.stdout


def test_a_failed_measurement_fails_the_run(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    program(bundle.folder / "bin/gpu_bench.py", "import sys\nsys.exit('no bus')")
    done = bundle.run()
    assert done.returncode == 1
    assert "FAILED: not everything was measured" in done.stdout

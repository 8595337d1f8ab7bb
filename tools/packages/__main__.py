"""Makes the wheel lossd-server and the .deb of a build of the preset `portable`.

`python -m tools.packages`, from the tree's root, writes to build/wheel: the two packages,
SHA256SUMS, `debug` with the symbols of the programs, `licenses` and `sboms`. ./dev wheel calls it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tools.packages import contents, elf, licenses, sbom, table

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/portable"
STATIC = ROOT / "build/static"
OUT = ROOT / "build/wheel"
SOURCE = ROOT / "deploy/wheel"
GLIBC = (2, 36)  # that of Debian 12; platform_tag.py says the same
# Each program in the build.
PROGRAMS = ("server/lossd", "client/lossctl", "client/lossbench")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Runs a command and returns its output, or prints it and exits where the command fails."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def version() -> str:
    told = re.search(r"project\(lossd VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    assert told
    return told[1]


def time_of_sources() -> int:
    """Returns SOURCE_DATE_EPOCH, or when the tree was committed; now, where git does not know."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told is None:
        asked = ["git", "log", "-1", "--format=%ct"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return int(told or time.time())


def check_programs() -> None:
    """Exits where a program would not run on every system that the packages are for."""
    complaints = [elf.complaint(BUILD / program, GLIBC) for program in PROGRAMS]
    if any(complaints):
        raise SystemExit("\n".join(filter(None, complaints)))


def describe(when: datetime) -> None:
    """Writes `sboms` and `licenses`."""
    files = contents.included_files(BUILD)
    for program in PROGRAMS:
        files |= contents.linked_files(BUILD / f"{Path(program).name}.d")
    packages = contents.packages_of(contents.outside_files(files, ROOT, STATIC), STATIC)
    licenses.gather(packages, OUT / "licenses")
    (OUT / "sboms").mkdir()
    debian = Path("/etc/debian_version").read_text(encoding="utf-8").split(".")[0]
    (OUT / "sboms/lossd.cdx.json").write_text(
        sbom.sbom(packages, version(), f"debian-{debian}", when), encoding="utf-8"
    )


def keep_symbols() -> None:
    """Writes the symbols of the programs where debuggers look: debug/.build-id/AB/CD....debug."""
    for program in PROGRAMS:
        number = elf.build_id(BUILD / program)
        file = OUT / "debug/.build-id" / number[:2] / f"{number[2:]}.debug"
        file.parent.mkdir(parents=True, exist_ok=True)
        run("objcopy", "--only-keep-debug", BUILD / program, file)


def make_wheel() -> Path:
    """Builds the wheel in a copy of its folder that has the programs, and returns its path."""
    package = OUT / "package"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(OUT / "licenses", package / "licenses")
    shutil.copytree(OUT / "sboms", package / "sboms")
    shutil.copy(ROOT / "LICENSE", package)
    (package / "lossd_server/bin").mkdir()
    for program in PROGRAMS:
        file = package / "lossd_server/bin" / Path(program).name
        run("strip", "--strip-all", "-o", file, BUILD / program)
        file.chmod(0o755)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", OUT, cwd=package)
    [wheel] = OUT.glob("*.whl")
    return wheel


def make_deb() -> Path:
    run("cpack", "-B", OUT / "cpack", cwd=BUILD)
    [deb] = (OUT / "cpack").glob("*.deb")
    return Path(shutil.move(deb, OUT / deb.name))


def check_packages(wheel: Path, deb: Path) -> None:
    """Asks the tools of others: auditwheel about the tag, lintian about the .deb."""
    audit = run(Path(sys.executable).parent / "auditwheel", "show", wheel)
    print(audit.strip())
    print(run("lintian", "--fail-on", "error", "--allow-root", deb).strip())


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    # Packages of one commit are the same, bit for bit.
    seconds = time_of_sources()
    os.environ["SOURCE_DATE_EPOCH"] = str(seconds)
    check_programs()
    describe(datetime.fromtimestamp(seconds, UTC))
    keep_symbols()
    wheel, deb = make_wheel(), make_deb()
    check_packages(wheel, deb)
    sums = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in (wheel, deb)]
    (OUT / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    programs = sorted((OUT / "package/lossd_server/bin").iterdir())
    rows = [*table.program_rows(wheel, programs), table.wheel_row(wheel), table.deb_row(deb)]
    print(table.text(rows))
    print(f"{OUT.relative_to(ROOT)} has both packages")


if __name__ == "__main__":
    main()

"""tools/packages: what is inside programs is found, described and checked."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.packages import contents, elf, licenses, sbom, table

WHEN = datetime(2026, 11, 30, tzinfo=UTC)
DEP5 = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2026 Somebody
License: Apache-2.0 and Expat

Files: debian/*
Copyright: 2026 Somebody else
License: GPL-3+

License: Apache-2.0
 In /usr/share/common-licenses/Apache-2.0.
"""


@pytest.fixture(name="package")
def make_package(tmp_path: Path) -> contents.Package:
    folder = tmp_path / "static/grpc_1.51.1-3"
    folder.mkdir(parents=True)
    (folder / "copyright").write_text(DEP5)
    (folder / "built").write_text("1:1.51.1-3\n")
    return contents.packages_of({folder / "lib/libgrpc.a"}, tmp_path / "static")[0]


def test_the_linker_names_its_files(tmp_path: Path) -> None:
    rule = tmp_path / "lossd.d"
    rule.write_text("server/lossd: \\\n  main.o \\\n  /usr/lib/libz.a\n\nmain.o:\n\n/other.a:\n")
    assert contents.linked_files(rule) == {"main.o", "/usr/lib/libz.a"}


def test_own_files_and_shared_libraries_are_left_out(tmp_path: Path) -> None:
    static = tmp_path / "build/static"
    kept = {static / "curl_1/lib/libcurl.a", Path("/opt/library/libz.a")}
    others = {"main.o", f"{tmp_path}/server/main.cc", "/opt/libc.so.6", "/opt/libm.so"}
    assert contents.outside_files({*map(str, kept), *others}, tmp_path, static) == kept


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg")
def test_an_installed_file_has_its_package_also_where_lib_was_merged(tmp_path: Path) -> None:
    [package] = contents.packages_of({Path("/usr/bin/dpkg")}, tmp_path)
    assert (package.name, package.source) == ("dpkg", "dpkg")
    assert package.version.startswith("1.")
    assert package.copyright.is_file()
    told = subprocess.run(["dpkg", "-L", "libc6"], capture_output=True, text=True, check=True)
    [library] = [line for line in told.stdout.splitlines() if line.endswith("/libc.so.6")]
    real = Path(library).resolve()
    assert [p.name for p in contents.packages_of({real}, tmp_path)] == ["libc6"]


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg")
def test_a_file_of_no_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no package of Debian has /opt/nowhere.a"):
        contents.packages_of({Path("/opt/nowhere.a")}, tmp_path)


def test_a_library_that_was_built_here_is_its_source(package: contents.Package) -> None:
    assert (package.name, package.version) == ("grpc", "1:1.51.1-3")
    assert package.architecture == "source"


def test_licenses_are_those_of_the_whole_by_the_names_of_spdx(package: contents.Package) -> None:
    assert licenses.declared(package) == ["Apache-2.0", "Expat"]
    names = ["Expat", "GPL-3+", "LGPL-2.1", "BSD-3-Clause"]
    assert [licenses.spdx_name(name) for name in names] == [
        "MIT",
        "GPL-3.0-or-later",
        "LGPL-2.1-only",
        "BSD-3-Clause",
    ]


def test_a_copyright_file_for_people_alone_declares_nothing(package: contents.Package) -> None:
    package.copyright.write_text("This is free software.\n")
    assert licenses.declared(package) == []


@pytest.mark.skipif(not licenses.COMMON.is_dir(), reason="not a Debian")
def test_copyright_files_bring_the_texts_that_they_name(
    package: contents.Package, tmp_path: Path
) -> None:
    licenses.gather([package], tmp_path / "licenses")
    written = {path.name for path in (tmp_path / "licenses").iterdir()}
    assert written == {"grpc.copyright", "Apache-2.0"}


def test_the_list_is_valid_and_names_the_package_for_scanners(package: contents.Package) -> None:
    text = sbom.sbom([package], "0.1.0", "debian-12", WHEN)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = json.loads(text)
    [component] = listed["components"]
    assert component["purl"] == "pkg:deb/debian/grpc@1:1.51.1-3?arch=source&distro=debian-12"
    assert {"license": {"id": "MIT"}} in component["licenses"]
    assert listed["metadata"]["component"]["version"] == "0.1.0"
    assert text == sbom.sbom([package], "0.1.0", "debian-12", WHEN)


def test_a_program_is_named_with_what_it_needs_beyond_a_glibc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = Path("/bin/true").resolve()
    assert elf.needed(program) == ["libc.so.6"]
    assert elf.complaint(program, (99, 0)) == ""
    assert elf.complaint(program, (2, 0)).startswith(f"{program} needs glibc 2.")
    monkeypatch.setattr(elf, "GLIBC", set())
    assert elf.complaint(program, (99, 0)) == f"{program} needs libc.so.6"


def test_sizes_stand_to_the_right() -> None:
    lines = table.text([("lossd", "1.0 MB", "10.0 MB", "libc.so.6", "2.34")]).splitlines()
    assert lines[0].split() == ["file", "compressed", "installed", "needs", "of", "glibc"]
    assert lines[1].index("MB") + 2 == lines[0].index("compressed") + len("compressed")

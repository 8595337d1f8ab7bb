"""Builds the package, and generates its messages from proto/.

The protos are those of the clone, or of the source distribution, which brings them along. The
clone may be read-only, because everything is written to a temporary folder.
"""

import atexit
import re
import shutil
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc
from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
PROTOS = next(
    (folder for folder in (HERE / "proto", HERE.parent.parent / "proto") if folder.is_dir()), None
)


def generate(folder: Path) -> None:
    """Writes lossd/v1/*_pb2.py and .pyi below `folder`."""
    if PROTOS is None:
        raise SystemExit(f"no proto/ in {HERE}: install from a clone or a source distribution")
    sources = sorted(str(path) for path in PROTOS.glob("lossd/v1/*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    folders = [f"-I{PROTOS}", f"-I{well_known}"]
    code = protoc.main(
        ["protoc", *folders, f"--python_out={folder}", f"--pyi_out={folder}", *sources]
    )
    if code != 0:
        raise SystemExit(f"protoc ended with {code}")
    (folder / "lossd" / "v1" / "__init__.py").touch()


def protobuf_versions(folder: Path) -> str:
    """Returns the versions of protobuf that the generated messages accept.

    They refuse an older one than their generator's, and one of two major versions later.
    """
    text = (folder / "lossd" / "v1" / "tensor_pb2.py").read_text()
    found = re.search(r"Domain\.PUBLIC,\s*(\d+),\s*(\d+),\s*(\d+),", text)
    if found is None:
        raise SystemExit("the generated messages do not name their version of protobuf")
    major, minor, patch = map(int, found.groups())
    return f"protobuf>={major}.{minor}.{patch},<{major + 2}"


class BuildWithMessages(build_py):
    """Builds the package with its messages."""

    def run(self) -> None:
        super().run()
        generate(Path(self.build_lib))


class SdistWithProtos(sdist):
    """Makes a source distribution that has the protos beside setup.py."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        assert PROTOS is not None
        shutil.copytree(PROTOS / "lossd", Path(base_dir) / "proto" / "lossd")


scratch = Path(tempfile.mkdtemp(prefix="lossd-"))
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
generate(scratch)
setup(
    cmdclass={"build_py": BuildWithMessages, "sdist": SdistWithProtos},
    options={"egg_info": {"egg_base": str(scratch)}, "build": {"build_base": str(scratch)}},
    install_requires=["grpcio>=1.51", "numpy>=1.24", protobuf_versions(scratch)],
)

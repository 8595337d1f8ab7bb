"""Builds the package, and generates its messages from the repository's proto/.

The package can be installed only from a clone. The clone may be read-only, because everything
is written to a temporary folder.
"""

import atexit
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import grpc_tools
from grpc_tools import protoc
from setuptools import setup
from setuptools.command.build_py import build_py

PROTOS = Path(__file__).resolve().parent.parent.parent / "proto"


class BuildWithMessages(build_py):
    """Builds the package with lossd/v1/*_pb2.py and .pyi, which protoc generates."""

    def run(self) -> None:
        super().run()
        sources = sorted(str(path) for path in PROTOS.glob("lossd/v1/*.proto"))
        if not sources:
            raise SystemExit(f"no protos in {PROTOS}: install from a clone")
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        folders = [f"-I{PROTOS}", f"-I{well_known}"]
        outputs = [f"--python_out={self.build_lib}", f"--pyi_out={self.build_lib}"]
        code = protoc.main(["protoc", *folders, *outputs, *sources])
        if code != 0:
            raise SystemExit(f"protoc ended with {code}")
        (Path(self.build_lib) / "lossd" / "v1" / "__init__.py").touch()


scratch = tempfile.mkdtemp(prefix="lossd-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(
    cmdclass={"build_py": BuildWithMessages},
    options={"egg_info": {"egg_base": scratch}, "build": {"build_base": scratch}},
    # Generated messages refuse to work with a protobuf older than that of their generator.
    install_requires=["grpcio>=1.51", "numpy>=1.24", f"protobuf>={version('protobuf')}"],
)

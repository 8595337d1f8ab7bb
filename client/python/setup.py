"""Generates the messages from the repository's proto/, then hands over to setuptools."""

from importlib.metadata import version
from pathlib import Path

import grpc_tools
from grpc_tools import protoc
from setuptools import setup

HERE = Path(__file__).resolve().parent
PROTOS = HERE.parent.parent / "proto"


def generate_messages() -> None:
    """Writes lossd/v1/*_pb2.py and .pyi. Outside a clone they are there already."""
    sources = sorted(str(path) for path in PROTOS.glob("lossd/v1/*.proto"))
    if not sources:
        return
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(
        ["protoc", f"-I{PROTOS}", f"-I{well_known}", f"--python_out={HERE}", f"--pyi_out={HERE}"]
        + sources
    )
    if code != 0:
        raise SystemExit(f"protoc ended with {code}")
    (HERE / "lossd" / "v1" / "__init__.py").touch()


generate_messages()
# Generated messages refuse a protobuf that is older than their generator's.
setup(install_requires=["grpcio>=1.51", "numpy>=1.24", f"protobuf>={version('protobuf')}"])

"""The options with which other languages generate code from the contract."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor
from lossd.v1 import loss_service_pb2, loss_spec_pb2, shared_memory_pb2, tensor_pb2

PROTO = Path(__file__).parents[3] / "proto"
FILES = (tensor_pb2, loss_spec_pb2, loss_service_pb2, shared_memory_pb2)


@pytest.mark.parametrize("file", [file.DESCRIPTOR for file in FILES], ids=lambda file: file.name)
def test_go_and_java_have_one_package(file: FileDescriptor) -> None:
    options = file.GetOptions()
    assert options.go_package == "lossd/v1;lossdv1"
    assert options.java_package == "lossd.v1"


def test_java_has_a_class_for_each_message(tmp_path: Path) -> None:
    protos = [file.DESCRIPTOR.name for file in FILES]
    subprocess.run(["protoc", f"-I{PROTO}", f"--java_out={tmp_path}", *protos], check=True)
    classes = {path.stem for path in (tmp_path / "lossd" / "v1").iterdir()}
    assert {"Tensor", "LossSpec", "ComputeLossRequest", "DataType", "LossServiceProto"} <= classes
    assert not {name for name in classes if "OuterClass" in name}

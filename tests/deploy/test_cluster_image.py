"""An image that tools/cluster writes is one that `docker load` and containerd read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tools.cluster.image import write_image


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_the_manifest_leads_to_the_layer_and_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "program").write_text("text")
    write_image(tmp_path / "out.tar", "name:1", folder, "/bin/program", "10001:10001")
    with tarfile.open(tmp_path / "out.tar") as archive:
        [manifest] = json.loads(read(archive, "manifest.json"))
        config: dict[str, Any] = json.loads(read(archive, manifest["Config"]))
        [layer] = [read(archive, name) for name in manifest["Layers"]]
    assert manifest["RepoTags"] == ["name:1"]
    assert config["config"]["Entrypoint"] == ["/bin/program"]
    assert config["config"]["User"] == "10001:10001"
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert files.getmember("bin/program").uid == 0

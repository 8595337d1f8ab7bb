#!/usr/bin/env python3
"""Writes a folder as an image of one layer, in the form of `docker save`.

image.py OUT.tar NAME:TAG FOLDER ENTRYPOINT [USER]
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def layer_of(folder: Path) -> bytes:
    """Returns the folder as a tar whose files belong to root."""

    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=as_root)
    return data.getvalue()


def write_image(out: Path, name: str, folder: Path, entrypoint: str, user: str) -> None:
    layer = layer_of(folder)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [entrypoint],
            "User": user,
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    text = json.dumps(config).encode()
    config_name = hashlib.sha256(text).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(out, "w") as tar:
        for file, content in (
            (config_name, text),
            ("layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    out, name, folder, entrypoint, *user = sys.argv[1:]
    write_image(Path(out), name, Path(folder), entrypoint, user[0] if user else "")

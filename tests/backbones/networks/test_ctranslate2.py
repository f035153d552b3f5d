from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.ctranslate2 import name, variable, written
from tsugiki.backbones.networks.ctranslate2 import ITEM_TYPES, Malformed, read_variables

MATRIX = np.arange(6, dtype="<f2").reshape(2, 3)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tmp_path / "model.bin"


def test_variables_come_with_their_shapes_and_only_those_asked_for(weights: Path) -> None:
    heads = np.array(6, "<i2")
    weights.write_bytes(written({"decoder/a": MATRIX, "encoder/a/weight": MATRIX, "encoder/heads": heads}))
    found = read_variables(weights, "WhisperSpec", "encoder/")
    assert list(found) == ["a/weight", "heads"]
    np.testing.assert_array_equal(found["a/weight"], MATRIX)
    assert found["a/weight"].dtype == np.float16 and int(found["heads"].item()) == 6


def test_every_cut_is_told(weights: Path) -> None:
    whole = written({"encoder/a": MATRIX, "decoder/b": MATRIX})
    weights.write_bytes(whole)
    assert read_variables(weights, "WhisperSpec", "encoder/")
    for length in range(len(whole)):
        weights.write_bytes(whole[:length])
        with pytest.raises(Malformed, match="too soon"):
            read_variables(weights, "WhisperSpec", "encoder/")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (written({}, version=5), "layout 5"),
        (written({}, spec="TransformerSpec"), "TransformerSpec"),
        (b"PK\3\4" + bytes(100), "layout"),
        (struct.pack("<I", 6) + name("WhisperSpec") + struct.pack("<II", 3, 2**31), "2,147,483,648 variables"),
        (written({}, extra=[name("a") + b"\xff"]), "255 dimensions"),
        (written({}, extra=[variable("a", MATRIX, says=11)]), "11 bytes for the shape"),
        (written({}, extra=[name("a") + struct.pack("<BIIBI", 2, 2**31, 2**31, 0, 16)]), "16 bytes for the shape"),
        (written({}, extra=[name("a") + struct.pack("<BIIBI", 2, 2**31, 0, 0, 0)]), "0 bytes for the shape"),
        (written({}, extra=[name("a") + struct.pack("<BIBI", 1, 2, len(ITEM_TYPES), 8)]), "item type"),
        (written({}, extra=[struct.pack("<H", 2) + b"\xff\0"]), "no text"),
        (written({}, extra=[name("a") + struct.pack("<BIBI", 1, 2**30, 1, 2**30)]), "too soon"),
    ],
)
def test_nonsense_is_told_before_memory_is_taken_for_it(weights: Path, content: bytes, word: str) -> None:
    weights.write_bytes(content)
    with pytest.raises(Malformed, match=word):
        read_variables(weights, "WhisperSpec", "")

"""Rows for a training, more than memory is given for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsugiki.domain import Prepared
from tsugiki.training.shelf import shelve


def drawn(count: int, kind: str) -> list[Prepared]:
    random = np.random.default_rng(0)
    shapes = [(8, 8, 3) if kind == "uint8" else (int(random.integers(1, 9)), 5) for _ in range(count)]
    return [
        Prepared((255 * random.random(shape)).astype(kind), size=number, truncated=number % 2 == 0)
        for number, shape in enumerate(shapes)
    ]


def in_memory(row: Prepared) -> bool:
    base: Any = row.row  # Any: numpy's bases are of any kind
    while isinstance(base, np.ndarray):
        base = base.base
    return base is None


@pytest.mark.parametrize("kind", ["uint8", "float32", "int64"])
@pytest.mark.parametrize("held_bytes", [0, 1_000, 1 << 20])
def test_rows_are_as_they_were_wherever_they_lie(kind: str, held_bytes: int) -> None:
    given = drawn(40, kind)
    found = shelve(iter(given), held_bytes)
    assert [(row.size, row.truncated) for row in found] == [(row.size, row.truncated) for row in given]
    for one, other in zip(found, given, strict=True):
        assert one.row.dtype == other.row.dtype
        np.testing.assert_array_equal(one.row, other.row)
    held = [row.row.nbytes for row in found if in_memory(row)]
    assert sum(held) <= held_bytes + max(row.row.nbytes for row in given)
    assert (len(held) == len(found)) == (held_bytes == 1 << 20)


def test_the_file_has_no_name_and_ends_with_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = shelve(drawn(40, "uint8"), 0)

    def open_there() -> list[str]:
        maps = Path("/proc/self/maps").read_text()
        return [line for line in maps.splitlines() if str(tmp_path) in line]

    assert os.listdir(tmp_path) == [] and len(open_there()) == 1
    del found
    assert open_there() == []


def test_of_no_rows_there_are_none() -> None:
    assert shelve([], 0) == []

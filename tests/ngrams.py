"""A tiny sentence encoder of n-grams with random numbers, in the files that real ones come in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.pieces import written
from tests.tiny import WORDS
from tsugiki.backbones.sentencepiece import SPACE, Kind, Piece
from tsugiki.backbones.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats

DIM, WIDE, INNER, RANGES, ROWS, MAX_TOKENS = 24, 8, 12, 3, 50, 40
LETTERS = "abcdefghijklmnopqrstuvwxyz日本語返金カ"


def write_tiny(folder: Path) -> Source:
    """Words of English and a few Japanese letters, some of them unknown."""
    folder.mkdir(exist_ok=True)
    (folder / "sp.model").write_bytes(tiny_pieces())
    write_arrays(folder / "weights.npz", tiny_arrays())
    return Source(
        name="tiny-ngrams",
        folder=folder,
        dim=DIM,
        max_tokens=MAX_TOKENS,
        network="ngrams",
        file="weights.npz",
        tokens="sp.model",
        middle=1,
    )


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """As numpy does, but always the same bytes: compiled graphs are kept by their sha256."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.save(content, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)


def tiny_pieces() -> bytes:
    words = [Piece(SPACE + word, -3.0 - 0.01 * place, Kind.NORMAL) for place, word in enumerate(WORDS.split())]
    letters = [Piece(letter, -6.0 - 0.01 * place, Kind.NORMAL) for place, letter in enumerate(SPACE + LETTERS)]
    return written([Piece("[x]", 0.0, Kind.USER_DEFINED), *words, *letters])


def tiny_arrays() -> dict[str, NDArray[np.generic]]:
    random = np.random.default_rng(0)

    def normal(*shape: int) -> Floats:
        return random.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32)

    joined = DIM + 3 * WIDE
    found: dict[str, NDArray[np.generic]] = {
        f"q{place}": random.integers(0, 64, (ROWS, DIM), dtype=np.uint8) for place in range(1, RANGES + 1)
    }
    found |= {"scale": np.linspace(0.05, 0.1, RANGES, dtype=np.float32), "eps": np.array(1e-12)}
    found |= {"lo": np.linspace(-1.0, -3.0, RANGES, dtype=np.float32)}
    for width in (2, 3, 5):
        found |= {f"proj{width}": normal(DIM, WIDE), f"proj_b{width}": normal(WIDE)}
        found |= {f"ln_g{width}": np.float32(1.0) + normal(WIDE), f"ln_b{width}": normal(WIDE)}
        for number in (1, 2):
            found |= {f"w{number}_{width}": normal(width * WIDE, WIDE), f"b{number}_{width}": normal(WIDE)}
    found |= {
        "ln_g": np.float32(1.0) + normal(joined),
        "ln_b": normal(joined),
        "cnn_W": normal(joined, DIM),
        "cnn_b": normal(DIM),
    }
    found |= {"d0": normal(DIM, INNER), "d1": normal(INNER, INNER), "d2": normal(INNER, DIM), "d3": normal(DIM, DIM)}
    return found | {"p1": normal(DIM, INNER), "p3": normal(INNER, DIM), "bits": np.array([6], np.int8)}

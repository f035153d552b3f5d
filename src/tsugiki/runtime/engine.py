"""onnxruntime behind the Engine protocol: the one place that knows how it is configured for serving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.backbones.session import Session
from tsugiki.backbones.text import pad
from tsugiki.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsugiki.domain import Floats


class OnnxEngine:
    """One backbone graph in one session. `run` may be called from several threads; each pass uses `threads`."""

    def __init__(self, graph: Path, *, dim: int, threads: int) -> None:
        self._session = Session(graph, threads=threads)
        self._dim = dim

    def run(self, rows: Sequence[NDArray[np.int64]]) -> Floats:
        """Token ids of each row, unpadded -> features (rows, dim). Raises Unavailable if the graph misbehaves."""
        padded = pad(rows)
        features = self._session.run("features", {"input_ids": padded.ids, "attention_mask": padded.mask})
        if features.shape != (len(rows), self._dim) or not np.isfinite(features).all():
            raise Unavailable(f"the engine returned {features.shape} or non-finite features", code="engine_fault")
        return features

"""An ONNX graph in onnxruntime, on the CPU: the one file that meets its untyped calls."""

# onnxruntime's annotations are partial: what a run returns is a union that no caller here can meet.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsugiki.domain import Floats


class Session:
    """One graph, or the bytes of one, with one output of interest. Thread-safe; each run uses `threads` threads of its
    own pool.
    """

    def __init__(self, graph: Path | bytes, *, threads: int) -> None:
        # From 1.29 on onnxruntime tells its maker of every session (names and hashes of graph and weights, machine),
        # unless this is set when it is imported. https://github.com/microsoft/onnxruntime/pull/27379
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Runs differ in shape all the time: an allocation plan remembered for each would be kept and never reused.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
        )

    def run(self, output: str, inputs: Mapping[str, NDArray[np.generic]]) -> Floats:
        """The named float32 output for a batch."""
        return cast("Floats", self._session.run([output], dict(inputs))[0])

"""onnxruntime behind the Engine protocol: fp32 on any processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tsugiki.backbones.inputs import stack
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import FEATURES, SLOTS, down, up
from tsugiki.domain import EngineName
from tsugiki.ports import Adapters, BankType, Graphs
from tsugiki.runtime.once import Once

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

PASS_TOKENS = 256  # a thread; MiniLM on AVX-512, texts of 15 tokens, rows a pass: 8 gave 249/s, 16 260/s, 32 245/s


class OnnxEngine:
    """One session, and one more for each set of modules that LoRA changes. Several threads may run passes."""

    name: EngineName = "onnxruntime"
    precision = "fp32"
    bank_type: BankType = "float32"
    queues = False  # whoever asks for a pass runs it

    def __init__(self, graphs: Graphs, *, threads: int) -> None:
        self.pass_tokens = PASS_TOKENS * threads
        self._plain = Session(graphs.graph, threads=threads)
        self._banked: Once[tuple[str, ...], Session] = Once(
            lambda modules: Session(graphs.bank_graph(modules, self.bank_type), threads=threads)
        )

    def prepare(self, modules: tuple[str, ...]) -> None:
        self._banked.get(modules)

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        inputs = dict(stack(rows))
        if adapters is None:
            return self._plain.run(FEATURES, inputs)
        inputs[SLOTS] = adapters.slots
        for module in adapters.modules:
            inputs[down(module)], inputs[up(module)] = adapters.banks[module]
        return self._banked.get(adapters.modules).run(FEATURES, inputs)

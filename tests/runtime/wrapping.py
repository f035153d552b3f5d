"""An engine around another, for tests that exchange what a pass does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tsugiki.domain import EngineName
from tsugiki.ports import Adapters, BankType, Engine

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow


class Wrapping:
    """The Engine port, all of it the inner engine's."""

    def __init__(self, engine: Engine) -> None:
        self.inner = engine
        self.name: EngineName = engine.name
        self.precision = engine.precision
        self.pass_tokens = engine.pass_tokens
        self.bank_type: BankType = engine.bank_type
        self.queues = engine.queues

    def prepare(self, modules: tuple[str, ...]) -> None:
        self.inner.prepare(modules)

    def run(self, rows: Sequence[InputRow], adapters: Adapters | None = None, *, at_once: bool = False) -> Floats:
        return self.inner.run(rows, adapters, at_once=at_once)

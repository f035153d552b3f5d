"""What torch alone must do: let go of what it has on its device."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.adapting import drawn_lora
from tsugiki.backbones import Loaded
from tsugiki.backbones.sites import linear_shapes
from tsugiki.ports import Adapters
from tsugiki.runtime.engines.torch import KEPT_BANKS, TorchEngine
from tsugiki.runtime.loras import LoraBank

if TYPE_CHECKING:
    from tsugiki.domain import InputRow


@pytest.fixture
def rows(tiny: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in tiny.backbone.prepare(["the card", "where is my parcel?"])]


@pytest.fixture
def by_counting(tiny: Loaded) -> Iterator[None]:
    """Nothing looks for cycles: what is gone was let go of by all."""
    on_processor(tiny)  # what a first engine imports keeps its frames until it is looked for
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def on_processor(loaded: Loaded) -> TorchEngine:
    return TorchEngine(loaded.source, {}, device="cpu", precision="fp32")


def one_adapter(loaded: Loaded, seed: int) -> Adapters:
    """Of a bank of its own."""
    bank = LoraBank(lambda: linear_shapes(loaded.graph), "float32", 0)
    slot = bank.load(drawn_lora(loaded, seed))
    return bank.adapters(slot.rack, np.array([slot.index]))


def test_an_engine_that_nobody_holds_is_gone_at_once(tiny: Loaded, rows: list[InputRow], by_counting: None) -> None:
    engine = on_processor(tiny)
    engine.run(rows, one_adapter(tiny, 1))
    gone = weakref.ref(engine)
    del engine
    assert gone() is None


def test_few_banks_stay_however_many_there_were(tiny: Loaded, rows: list[InputRow], by_counting: None) -> None:
    engine = on_processor(tiny)
    first = one_adapter(tiny, 0)
    expected = engine.run(rows, first)
    seen: list[weakref.ref[np.ndarray[tuple[int, ...]]]] = []
    for seed in range(1, 2 * KEPT_BANKS):
        adapters = one_adapter(tiny, seed)
        engine.run(rows, adapters)
        seen += [weakref.ref(down) for down, _ in list(adapters.banks.values())[:1]]
        del adapters
    assert sum(one() is not None for one in seen) <= KEPT_BANKS
    np.testing.assert_array_equal(engine.run(rows, first), expected)

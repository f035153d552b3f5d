"""What every engine must do, whichever library is behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.adapting import adapted, drawn_lora, drawn_weights, trained_by_peft
from tsugiki.backbones import Loaded
from tsugiki.domain import WeightsDelta
from tsugiki.errors import ArtifactCorrupt
from tsugiki.ports import Engine
from tsugiki.runtime.engines import openvino
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.probe import MIN_COSINE, min_cosine
from tsugiki.runtime.engines.torch import TorchEngine

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

TEXTS = (
    "the card",
    "where is my parcel?",
    "i love it",
    "refund please " * 6,
    "rain today",
    "a",
    "cancel the order now",
)
CORES = Cores(2, 1)
Make = Callable[[Loaded, WeightsDelta | None], Engine]


def on_torch(loaded: Loaded, delta: WeightsDelta | None) -> Engine:
    """The engine of CUDA devices, on the processor."""
    return TorchEngine(loaded.source, {} if delta is None else delta.tensors, device="cpu", precision="fp32")


def on_openvino(loaded: Loaded, delta: WeightsDelta | None) -> Engine:
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    return make("openvino", loaded, delta, CORES)


def in_eight_bits(loaded: Loaded, delta: WeightsDelta | None) -> Engine:
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    return make("openvino-int8", loaded, delta, CORES)


def on_onnxruntime(loaded: Loaded, delta: WeightsDelta | None) -> Engine:
    return make("onnxruntime", loaded, delta, CORES)


MAKERS: dict[str, Make] = {
    "onnxruntime": on_onnxruntime,
    "openvino": on_openvino,
    "openvino-int8": in_eight_bits,
    "torch": on_torch,
}


@pytest.fixture(scope="module", params=MAKERS)
def maker(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@pytest.fixture(scope="module")
def engine(maker: Make, tiny: Loaded) -> Engine:
    return maker(tiny, None)


@pytest.fixture(scope="module")
def rows(tiny: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in tiny.backbone.prepare(TEXTS)]


@pytest.fixture(scope="module")
def reference(tiny: Loaded, rows: list[InputRow]) -> Floats:
    return make("onnxruntime", tiny, None, CORES).run(rows)


def same(engine: Engine, found: Floats, expected: Floats) -> bool:
    if engine.precision == "fp32":
        return np.allclose(found, expected, atol=1e-5)
    return min_cosine(found, expected) >= MIN_COSINE


def test_features_are_those_of_the_reference(engine: Engine, rows: list[InputRow], reference: Floats) -> None:
    found = engine.run(rows)
    assert found.dtype == np.float32
    assert same(engine, found, reference)
    assert engine.pass_tokens > 0


def test_a_row_s_features_do_not_depend_on_its_company(engine: Engine, rows: list[InputRow]) -> None:
    alone = np.concatenate([engine.run([row]) for row in rows])
    assert same(engine, engine.run(rows), alone)


def test_rows_of_many_adapters_and_none_share_a_pass(
    engine: Engine, tiny: Loaded, rows: list[InputRow], reference: Floats
) -> None:
    first, second = drawn_lora(tiny, 1), drawn_lora(tiny, 2, rank=3)
    deltas = [first, None, second, first, None, second, first]
    found = adapted(engine, tiny, rows, deltas)
    for row, delta in enumerate(deltas):
        alone = reference[[row]] if delta is None else adapted(engine, tiny, [rows[row]], [delta])
        assert same(engine, found[[row]], alone)
        assert delta is None or min_cosine(found[[row]], reference[[row]]) < MIN_COSINE, "the adapter does something"


def test_equal_runs_of_rows_are_one_product_an_adapter(engine: Engine, tiny: Loaded, rows: list[InputRow]) -> None:
    first, second = drawn_lora(tiny, 1), drawn_lora(tiny, 2)
    together = adapted(engine, tiny, rows[:6], [first, second, first, second, first, second])
    apart = [adapted(engine, tiny, [rows[n]], [(first, second)[n % 2]]) for n in range(6)]
    assert same(engine, together, np.concatenate(apart))


@pytest.mark.parametrize(("targets", "rank"), [(["query", "value"], 8), (["query", "key", "value", "dense"], 5)])
def test_matrices_trained_by_peft_give_peft_s_features(
    engine: Engine, tiny: Loaded, rows: list[InputRow], targets: list[str], rank: int
) -> None:
    trained = trained_by_peft(tiny, rows, targets, rank)
    found = adapted(engine, tiny, rows, [trained.delta] * len(rows))
    assert same(engine, found, trained.features)


def test_a_network_with_weights_of_its_own_is_another_and_leaves_the_first_as_it_was(
    maker: Make, engine: Engine, tiny: Loaded, rows: list[InputRow], reference: Floats
) -> None:
    delta = drawn_weights(tiny, 1)
    own = maker(tiny, delta).run(rows)
    assert same(engine, own, on_torch(tiny, delta).run(rows))
    assert min_cosine(own, reference) < MIN_COSINE
    assert same(engine, engine.run(rows), reference)


def test_weights_that_the_backbone_does_not_have_are_refused(maker: Make, tiny: Loaded) -> None:
    for name in ("encoder.layer.9.output.dense.weight", "embeddings.LayerNorm.weight"):
        with pytest.raises(ArtifactCorrupt):
            maker(tiny, WeightsDelta({name: np.ones((3, 3), np.float32)}))

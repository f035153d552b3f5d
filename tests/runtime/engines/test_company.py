"""I2 on a real network: what a row is answered does not depend on which rows share its pass."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as library
import pytest

from tests.runtime.adapting import adapted, drawn_lora
from tsugiki.backbones import Loaded, load
from tsugiki.domain import EngineName
from tsugiki.runtime.engines import openvino
from tsugiki.runtime.engines.making import Cores, make

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow
    from tsugiki.ports import Engine

WORDS = "my card was charged twice for the same order please tell me when it will arrive i love this film".split()
TEXTS, SHARING, WORDIEST = 160, 8, 70
ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino", "openvino-int8")
WITH_AMX = openvino.no_gain_in_eight_bits() is not None
NOT_SHOWN = pytest.mark.xfail(strict=False, reason="measured with AMX alone: other processors run other kernels")


@pytest.fixture(scope="module")
def minilm(pytestconfig: pytest.Config) -> Loaded:
    assert pytestconfig.cache is not None
    return load("minilm-en", {}, pytestconfig.cache.mkdir("graphs"))


@pytest.fixture(scope="module")
def rows(minilm: Loaded) -> list[InputRow]:
    random = Random(3)
    texts = [" ".join(random.choices(WORDS, k=random.randrange(1, WORDIEST))) for _ in range(TEXTS)]
    return [prepared.row for prepared in minilm.backbone.prepare(texts)]


def furthest(engine: Engine, rows: list[InputRow]) -> float:
    """Of the features of rows in company from those of the same rows alone."""
    together = [engine.run(rows[start : start + SHARING]) for start in range(0, len(rows), SHARING)]
    alone: list[Floats] = [engine.run([row]) for row in rows]
    return float(np.abs(np.concatenate(together) - np.concatenate(alone)).max())


def missing(name: EngineName) -> str | None:
    return None if name == "onnxruntime" else openvino.why_not()


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_s_features_are_its_own_in_any_company(name: EngineName, minilm: Loaded, rows: list[InputRow]) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    assert furthest(make(name, minilm, None, Cores(1, 1)), rows) <= 1e-5


@pytest.mark.parametrize("name", ENGINES)
def test_so_are_those_of_a_row_with_an_adapter(
    name: EngineName, minilm: Loaded, rows: list[InputRow], request: pytest.FixtureRequest
) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    if name != "onnxruntime" and not WITH_AMX:
        request.applymarker(NOT_SHOWN)
    engine = make(name, minilm, None, Cores(1, 1))
    deltas = [None, drawn_lora(minilm, 1), drawn_lora(minilm, 2)]
    for start in range(0, len(rows) // 4, SHARING):
        these = rows[start : start + SHARING]
        wanted = [deltas[place % 3] for place in range(SHARING)]
        together = adapted(engine, minilm, these, wanted)
        alone = [adapted(engine, minilm, [row], [delta]) for row, delta in zip(these, wanted, strict=True) if delta]
        assert np.abs(together[[place % 3 > 0 for place in range(SHARING)]] - np.concatenate(alone)).max() <= 1e-5


def test_an_engine_that_feels_company_is_found(
    minilm: Loaded, rows: list[InputRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same one with the kernels that OpenVINO makes by itself."""
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    compile_model: Callable[..., Any] = library.Core.compile_model  # Any: openvino's

    def as_it_would(core: library.Core, model: Any, device: str, config: dict[str, Any]) -> Any:
        return compile_model(core, model, device, config | {"SNIPPETS_MODE": "ENABLE"})

    monkeypatch.setattr(library.Core, "compile_model", as_it_would)
    assert furthest(make("openvino", minilm, None, Cores(1, 1)), rows) > 1e-5


def test_an_engine_that_pads_to_the_longest_row_alone_is_found(
    minilm: Loaded, rows: list[InputRow], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    if not WITH_AMX:
        request.applymarker(NOT_SHOWN)
    monkeypatch.setattr(openvino, "evened", int)
    assert furthest(make("openvino", minilm, None, Cores(1, 1)), rows) > 1e-5


def test_positions_that_attention_tells_from_others_are_made_more() -> None:
    assert [openvino.evened(n) for n in (1, 2, 4, 5, 6, 7, 8, 31, 32)] == [5, 5, 5, 5, 7, 7, 8, 31, 32]
    assert [openvino.evened(n) for n in (33, 47, 48, 49)] == [48, 48, 48, 64]

"""I2 on a real network: what a row is answered does not depend on which rows share its pass."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as library
import pytest

from tsugiki.backbones import Loaded, load
from tsugiki.domain import EngineName
from tsugiki.runtime.engines import openvino
from tsugiki.runtime.engines.making import Cores, make

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow
    from tsugiki.ports import Engine

WORDS = "my card was charged twice for the same order please tell me when it will arrive i love this film".split()
TEXTS, SHARING = 160, 8
ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino", "openvino-int8")


@pytest.fixture(scope="module")
def minilm(pytestconfig: pytest.Config) -> Loaded:
    assert pytestconfig.cache is not None
    return load("minilm-en", {}, pytestconfig.cache.mkdir("graphs"))


@pytest.fixture(scope="module")
def rows(minilm: Loaded) -> list[InputRow]:
    random = Random(3)
    texts = [" ".join(random.choices(WORDS, k=random.randrange(2, 24))) for _ in range(TEXTS)]
    return [prepared.row for prepared in minilm.backbone.prepare(texts)]


def furthest(engine: Engine, rows: list[InputRow]) -> float:
    """Of the features of rows in company from those of the same rows alone."""
    together = [engine.run(rows[start : start + SHARING]) for start in range(0, len(rows), SHARING)]
    alone: list[Floats] = [engine.run([row]) for row in rows]
    return float(np.abs(np.concatenate(together) - np.concatenate(alone)).max())


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_s_features_are_its_own_in_any_company(name: EngineName, minilm: Loaded, rows: list[InputRow]) -> None:
    if name != "onnxruntime" and (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    assert furthest(make(name, minilm, None, Cores(1, 1)), rows) <= 1e-5


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

"""EfficientNet by the engine in bf16: near enough to fp32 because its first convolutions stay there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tsugiki.backbones import Loaded, load
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.runtime.engines import openvino
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.probe import MIN_COSINE, min_cosine

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow

CORES = Cores(1, 1)


@pytest.fixture(scope="module")
def lite0(pytestconfig: pytest.Config, decoder: DecoderPool) -> Loaded:
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    assert pytestconfig.cache is not None
    return load("efficientnet-lite0", {}, pytestconfig.cache.mkdir("graphs"), decoder)


@pytest.fixture(scope="module")
def rows(lite0: Loaded) -> list[InputRow]:
    return [prepared.row for prepared in lite0.backbone.probe()]


@pytest.fixture(scope="module")
def reference(lite0: Loaded, rows: list[InputRow]) -> Floats:
    return make("onnxruntime", lite0, None, CORES).run(rows)


def test_pictures_do_not_drift(lite0: Loaded, rows: list[InputRow], reference: Floats) -> None:
    engine = make("openvino", lite0, None, CORES)
    together = engine.run(rows)
    assert min_cosine(together, reference) >= MIN_COSINE
    assert np.abs(together - np.concatenate([engine.run([row]) for row in rows])).max() <= 1e-5


def test_they_would_if_all_were_in_bf16(
    lite0: Loaded, rows: list[InputRow], reference: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "EXACT", {})
    assert min_cosine(make("openvino", lite0, None, CORES).run(rows), reference) < MIN_COSINE

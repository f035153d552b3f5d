"""Classifiers over folders that an operator named: served, and taken away with all that reads their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.export.answering import probabilities
from tests.export.test_bundle import FACTS, Delivered
from tests.folders import contents
from tsugiki.backbones import Loaded
from tsugiki.domain import Graft, Head, WeightsDelta
from tsugiki.export.bundle import build
from tsugiki.runtime.admission import Limits
from tsugiki.runtime.banks import Weight
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.served import Engines, ServedBackbones

if TYPE_CHECKING:
    from tsugiki.domain import Floats
    from tsugiki.ports import Engine

LABELS = ("ant", "bee", "fly")
READERS = {"dinov2": {"images.py"}, "wav2vec2-group": {"sounds.py", "wave.py"}, "ast": {"sounds.py", "fbank.py"}}
ENDS = {"image": ".png", "audio": ".wav"}


def served(loaded: Loaded) -> Floats:
    """Features of its inputs by the batcher."""

    def engine(files: Loaded, delta: WeightsDelta | None) -> Engine:
        return make("onnxruntime", files, delta, Cores(1, 1))

    name, budget = loaded.backbone.name, Weight(1 << 20, 1 << 20, 1 << 20)
    backbones = ServedBackbones(
        [name], lambda _: loaded, Engines(engine, engine), workers=1, limits=Limits(), budget=budget
    )
    features = backbones.embed("tenant", name, contents(loaded.source.modality))
    backbones.close()
    return features


@pytest.mark.parametrize("kind", READERS)
def test_an_export_reads_files_and_answers_as_the_service(
    kind: str, loaded_folder: Callable[[str], Loaded], tmp_path: Path
) -> None:
    loaded = loaded_folder(kind)
    features = served(loaded)
    weight = (12 * (features - features.mean(axis=0))).astype(np.float32)  # each input its own label
    head = Head(weight, np.zeros(len(LABELS), np.float32), 1.0, LABELS)
    graft = Graft("head", loaded.backbone.space.id, head)
    inputs, reference = contents(loaded.source.modality), probabilities(features, head)
    bundle = build(tmp_path / "b.zip", loaded, graft, FACTS, "fp32", inputs, reference)
    assert bundle.parity.max_abs_diff < 1e-4
    paths = [tmp_path / f"{number}{ENDS[loaded.source.modality]}" for number in range(len(inputs))]
    for path, content in zip(paths, inputs, strict=True):
        assert isinstance(content, bytes)
        path.write_bytes(content)
    delivered = Delivered(bundle, tmp_path / "unpacked")
    assert READERS[kind] < {path.name for path in delivered.folder.iterdir()}
    answers = delivered.ask(*map(str, paths))
    assert [answer["label"] for answer in answers] == [LABELS[row] for row in reference.argmax(axis=1)]

# pyright: reportUnknownMemberType=false
# torch leaves the types of its conversions unknown.

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.runtime.adapting import drawn_lora, drawn_weights
from tsugiki.backbones import Loaded
from tsugiki.backbones.inputs import stack
from tsugiki.domain import Delta, Prepared
from tsugiki.errors import ArtifactCorrupt, Cancelled
from tsugiki.ports import Backbone, Trainable
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.trainable import TrainableBackbone

TEXTS = [f"{'please ' * (n % 7)}where is my parcel {n}" for n in range(60)]
TOLERANCE = 1e-5


@pytest.fixture
def backbone(tiny: Loaded) -> TrainableBackbone:
    return TrainableBackbone(tiny, partial(make, "onnxruntime", cores=Cores(1, 1)))


@pytest.fixture
def rows(backbone: TrainableBackbone) -> list[Prepared]:
    return backbone.prepare(TEXTS)


def test_it_is_a_backbone_of_the_space_that_is_served(backbone: Backbone, tiny: Loaded) -> None:
    assert isinstance(backbone, Trainable)
    assert backbone.space == tiny.backbone.space
    assert (backbone.name, backbone.modality) == ("tiny", "text")


def test_its_network_yields_what_the_engine_does(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    import torch

    batch = stack([row.row for row in rows])
    with torch.no_grad():
        found = backbone.network()(*(torch.from_numpy(part) for part in batch.values())).numpy()
    assert np.abs(found - backbone.features(rows, None, lambda: None)).max() <= TOLERANCE


@pytest.mark.parametrize("kind", ["lora", "weights"])
def test_changed_features_come_in_order_and_leave_the_plain_ones_as_they_are(
    backbone: TrainableBackbone, tiny: Loaded, rows: list[Prepared], kind: str
) -> None:
    delta: Delta = drawn_lora(tiny, 1) if kind == "lora" else drawn_weights(tiny, 1)
    before = backbone.features(rows, None, lambda: None)
    together = backbone.features(rows, delta, lambda: None)
    alone = np.concatenate([backbone.features([row], delta, lambda: None) for row in rows[::13]])
    assert np.abs(together[::13] - alone).max() <= TOLERANCE
    assert np.abs(together - before).max() > 0.01
    assert (backbone.features(rows, None, lambda: None) == before).all()


def test_it_stops_between_passes(backbone: TrainableBackbone, rows: list[Prepared]) -> None:
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            raise Cancelled("stopped by the test")

    with pytest.raises(Cancelled):
        backbone.features(rows, None, check)


def test_a_delta_of_another_backbone_is_refused(backbone: TrainableBackbone, tiny: Loaded) -> None:
    delta = drawn_lora(tiny, 1)
    foreign = type(delta)({f"other.{name}": pair for name, pair in delta.modules.items()})
    with pytest.raises(ArtifactCorrupt, match="other"):
        backbone.features([Prepared(np.array([1, 2]), 2)], foreign, lambda: None)

# pyright: reportUnknownMemberType=false
# torch and transformers leave some of their types unknown.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tsugiki.backbones import Loaded
from tsugiki.backbones.graph import refuse_norms
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.networks.weights import Mismatch
from tsugiki.backbones.session import Session

if TYPE_CHECKING:
    from tsugiki.domain import Floats

TEXTS = ["my card", "", "refund please, my parcel is late " * 3, "日本語 🎉"]


@pytest.fixture(scope="module")
def session(tiny_graph: Path) -> Session:
    return Session(tiny_graph, threads=1)


def run(session: Session, tiny: Loaded, texts: list[str]) -> Floats:
    return session.run("features", stack([prepared.row for prepared in tiny.backbone.prepare(texts)]))


def test_features_are_unit_vectors_of_the_space(session: Session, tiny: Loaded) -> None:
    features = run(session, tiny, TEXTS)
    assert features.shape == (len(TEXTS), tiny.backbone.space.dim)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def test_row_does_not_feel_the_padding_beside_it(session: Session, tiny: Loaded) -> None:
    alone = np.concatenate([run(session, tiny, [text]) for text in TEXTS])
    np.testing.assert_allclose(run(session, tiny, TEXTS), alone, atol=1e-5)


def test_different_texts_have_different_features(session: Session, tiny: Loaded) -> None:
    features = run(session, tiny, TEXTS)
    assert np.max(features @ features.T - 2 * np.eye(len(TEXTS))) < 0.99


def test_a_feature_is_what_the_last_block_yields_and_beside_it_what_the_middle_one_does(
    session: Session, tiny: Loaded
) -> None:
    """By transformers' own forward, one row at a time."""
    import torch
    from transformers import BertModel

    encoder = BertModel.from_pretrained(tiny.source.folder, add_pooling_layer=False).eval()
    for text in TEXTS:
        [prepared] = tiny.backbone.prepare([text])
        with torch.no_grad():
            states = encoder(torch.from_numpy(prepared.row)[None], output_hidden_states=True).hidden_states
        assert states is not None and len(states) == 3, "what enters the two blocks, and what leaves them"
        last, middle = (torch.nn.functional.normalize(states[place][0].mean(dim=0), dim=0).numpy() for place in (2, 1))
        wanted = np.concatenate([last, middle]) / np.sqrt(2)
        np.testing.assert_allclose(run(session, tiny, [text])[0], wanted, atol=1e-5)


def test_a_network_whose_norms_the_exporter_would_fold_is_refused() -> None:
    folded = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    with pytest.raises(Mismatch, match="1 is a batch norm"):
        refuse_norms(folded)
    refuse_norms(folded[:1])

"""A graft on the tiny backbone, and what the service answers with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.export.answering import probabilities
from tsugiki.backbones import Loaded
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.session import Session
from tsugiki.domain import Graft, Head

if TYPE_CHECKING:
    from tsugiki.domain import Floats

LABELS = ('say "hi"', "../../x", "🎉\u200d", "C:\\con")  # names are data: none may become a path or break a quote
TOPICS = ("card money refund", "parcel delivery late", "music film great", "weather rain sun")
FILLERS = ("please help", "where is my", "what about the", "i love it", "thanks", "today")
HOSTILE = ("", "🎉👩‍👩‍👧 日本語", "\x07\x1b[0m\u202e", "card " * 300, "e\u0301 \u304b\u3099", "[PAD][SEP]", "-x --json")
TEXTS = tuple(f"{filler} {topic}" for topic in TOPICS for filler in FILLERS) + HOSTILE
SHARPNESS = 12.0  # of the logits: labels then lead clearly, as after training


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    return TEXTS


@pytest.fixture(scope="session")
def features(tiny: Loaded) -> Floats:
    rows = [prepared.row for prepared in tiny.backbone.prepare(TEXTS)]
    return Session(tiny.graph, threads=1).run("features", stack(rows))


@pytest.fixture(scope="session")
def graft(tiny: Loaded, features: Floats) -> Graft:
    """Each label's weights point to the mean of its topic's texts."""
    means = features[: len(TOPICS) * len(FILLERS)].reshape(len(TOPICS), len(FILLERS), -1).mean(axis=1)
    weight = (SHARPNESS * (means - means.mean(axis=0))).astype(np.float32)
    head = Head(weight, np.linspace(-0.1, 0.1, len(LABELS), dtype=np.float32), 0.8, LABELS)
    return Graft("head", tiny.backbone.space.id, head)


@pytest.fixture(scope="session")
def reference(features: Floats, graft: Graft) -> Floats:
    return probabilities(features, graft.head)

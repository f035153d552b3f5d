"""Who runs rows that come alone; the models are onnxruntime's, which tell what they are asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.runtime.adapting import drawn_weights
from tsugiki.backbones import Loaded
from tsugiki.backbones.inputs import stack
from tsugiki.backbones.session import Session
from tsugiki.backbones.signature import FEATURES
from tsugiki.runtime.engines import openvino
from tsugiki.runtime.engines.lone import EVERY, MODELS, LoneRows
from tsugiki.runtime.engines.making import Cores, make

if TYPE_CHECKING:
    from tsugiki.domain import Floats

LENGTHS = [EVERY * n for n in range(1, MODELS + 1)]


class Noted:
    """A model that says which lengths it ran, in order."""

    def __init__(self, tiny: Loaded) -> None:
        self.lengths: list[int] = []
        self._session = Session(tiny.graph.read_bytes(), threads=1)

    def run(self, inputs: dict[str, Any]) -> Floats:
        self.lengths.append(next(iter(inputs.values())).shape[1])
        return self._session.run(FEATURES, inputs)


class Bed:
    """Lone rows over tiny models, all of which are told."""

    def __init__(self, tiny: Loaded) -> None:
        self.models: list[Noted] = []
        self._tiny = tiny
        self.rows = LoneRows(self._make)

    def _make(self) -> Noted:
        self.models.append(Noted(self._tiny))
        return self.models[-1]

    def grown(self, lengths: Sequence[int]) -> None:
        for length in lengths:
            assert self.rows.run(row_of(length)) is None, "nobody has it yet"
            until_made()


def row_of(length: int) -> dict[str, Any]:
    return dict(stack([np.arange(5, 5 + length)]))


def until_made() -> None:
    for thread in threading.enumerate():
        if thread.name == "engine-lone":
            thread.join()


@pytest.fixture
def bed(tiny: Loaded) -> Bed:
    return Bed(tiny)


def test_a_length_has_a_model_once_one_is_made(bed: Bed, tiny: Loaded) -> None:
    bed.grown([EVERY])
    found = bed.rows.run(row_of(EVERY))
    assert found is not None
    assert np.array_equal(found, Noted(tiny).run(row_of(EVERY)))
    assert [model.lengths for model in bed.models] == [[EVERY, EVERY]], "the first was to lay its weights out"


def test_lengths_in_turn_meet_the_models_that_ran_them(bed: Bed) -> None:
    bed.grown(LENGTHS)
    for length in LENGTHS * 3:
        assert bed.rows.run(row_of(length)) is not None
    assert [set(model.lengths) for model in bed.models] == [{length} for length in LENGTHS]


def test_a_new_length_is_for_who_ran_longest_ago_once_no_more_are_made(bed: Bed) -> None:
    bed.grown(LENGTHS)
    bed.rows.run(row_of(LENGTHS[0]))
    new = LENGTHS[-1] + EVERY
    assert bed.rows.run(row_of(new)) is not None
    until_made()
    assert len(bed.models) == MODELS
    assert [model.lengths[-1] for model in bed.models] == [LENGTHS[0], new, *LENGTHS[2:]]


def test_a_model_has_one_row_at_a_time(bed: Bed) -> None:
    bed.grown([EVERY])
    (model,) = bed.models
    run, inside, go_on = model.run, threading.Event(), threading.Event()

    def slowly(inputs: dict[str, Any]) -> Floats:
        inside.set()
        assert go_on.wait(10)
        return run(inputs)

    model.run = slowly
    first = threading.Thread(target=bed.rows.run, args=(row_of(EVERY),))
    first.start()
    assert inside.wait(10)
    assert bed.rows.run(row_of(EVERY)) is None, "the only model is busy"
    go_on.set()
    first.join()
    assert bed.rows.run(row_of(EVERY)) is not None
    until_made()


def test_a_model_that_fails_is_not_asked_again(bed: Bed) -> None:
    bed.grown(LENGTHS)

    def fails(inputs: dict[str, Any]) -> Floats:
        raise RuntimeError("broken")

    bed.models[0].run = fails
    with pytest.raises(RuntimeError, match="broken"):
        bed.rows.run(row_of(LENGTHS[0]))
    assert bed.rows.run(row_of(LENGTHS[0])) is not None, "another takes it"


def test_where_no_model_can_be_made_rows_are_for_others(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[None] = []

    def nothing() -> Noted:
        asked.append(None)
        raise MemoryError

    rows = LoneRows(nothing)
    with caplog.at_level(logging.ERROR):
        assert rows.run(row_of(EVERY)) is None
        until_made()
    assert "cannot be made" in caplog.text
    assert rows.run(row_of(EVERY)) is None
    until_made()
    assert len(asked) == 1


def test_in_openvino_a_row_is_answered_alike_before_and_after(tiny: Loaded) -> None:
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    engine = make("openvino", tiny, None, Cores(1, 1))
    texts = ["the card", "where is my parcel?", "refund please " * 6, "cancel the order now", "card " * 70]
    rows = [prepared.row for prepared in tiny.backbone.prepare(texts)]
    together = engine.run(rows)
    for _ in range(3):
        assert np.abs(np.concatenate([engine.run([row]) for row in rows]) - together).max() <= 1e-5
        until_made()


def test_a_network_of_a_version_s_own_takes_no_more_memory(tiny: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    if (reason := openvino.why_not()) is not None:
        pytest.skip(reason)
    made: list[LoneRows] = []

    class Counted(LoneRows):
        def __init__(self, make: Any) -> None:  # Any: as LoneRows
            super().__init__(make)
            made.append(self)

    monkeypatch.setattr(openvino, "LoneRows", Counted)
    make("openvino", tiny, drawn_weights(tiny, 1), Cores(1, 1))
    assert not made
    make("openvino", tiny, None, Cores(1, 1))
    assert len(made) == 1

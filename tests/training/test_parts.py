"""Features joined of parts: whether the fainter part is to count as much is asked of held-out rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.drawing import WHOLE, Drawn, draw, fit
from tsugiki.training.blending import EVENED_FOR, Setting, blend
from tsugiki.training.effort import estimate_peak_bytes, plan_effort
from tsugiki.training.examples import Examples
from tsugiki.training.fit import FittedHead

FAINT = np.float32(0.1)
FOR = EVENED_FOR["text"]
ASKED = replace(WHOLE, widths=(24, 24), evened_for=FOR)
UNNAMED = Examples(np.zeros((4, 2), np.float32), np.array([0, 0, 1, 1]), 2)


def _joined(drawn: Drawn, loud: bool) -> Drawn:
    """What tells the classes apart is loud beside a part of faint noise, or faint beside one of loud noise."""
    noise = np.random.default_rng(9).standard_normal(drawn.features.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    parts = (drawn.features, FAINT * noise) if loud else (noise, FAINT * drawn.features)
    return replace(drawn, features=np.concatenate(parts, axis=1))


def _right(found: FittedHead, fresh: Drawn) -> float:
    return float(((fresh.features @ found.weight.T + found.bias).argmax(axis=1) == fresh.targets).mean())


def test_a_faint_part_that_tells_the_classes_apart_is_heard() -> None:
    drawn, fresh = _joined(draw([8] * 4), loud=False), _joined(draw([90] * 4), loud=False)
    asked, plain = fit(drawn, ASKED), fit(drawn)
    assert asked.evened
    assert not plain.evened
    assert _right(asked, fresh) > _right(plain, fresh) + 0.05


def test_a_faint_part_of_noise_is_left_faint() -> None:
    drawn = _joined(draw([8] * 4), loud=True)
    asked, plain = fit(drawn, ASKED), fit(drawn)
    assert not asked.evened
    assert asked.weight.tobytes() == plain.weight.tobytes()


@pytest.mark.parametrize(("worse", "evened"), [(FOR - 0.1, True), (FOR + 0.1, False)])
def test_parts_are_evened_unless_held_out_rows_speak_against_it(worse: float, evened: bool) -> None:
    found = blend(UNNAMED, (True, False), 2, lambda one: np.full((1, 2), worse / 2 if one.evened else 0.0), FOR)
    assert found.whole == Setting(evened, 0.0)


def test_a_block_has_no_say_in_how_its_own_rows_are_seen() -> None:
    tables = {True: np.array([[9.0, 1.0, 1.0]]), False: np.array([[0.0, 3.0, 3.0]])}
    found = blend(UNNAMED, (True, False), 3, lambda one: tables[one.evened])
    assert [one.evened for one in found.blocks] == [True, False, False]


def test_it_is_asked_only_where_that_takes_little_time() -> None:
    halves = (384, 384)
    assert plan_effort(16, 768, 2, None, named=True, widths=halves).widths == halves
    assert plan_effort(8_544, 768, 5, None, widths=halves).widths == halves
    assert plan_effort(770, 768, 77, None, named=True, widths=halves).widths == ()
    assert plan_effort(10_003, 768, 77, None, widths=halves) == plan_effort(10_003, 768, 77, None)
    assert plan_effort(16, 768, 2, None, widths=halves).seconds > plan_effort(16, 768, 2, None).seconds
    assert plan_effort(16, 768, 2, None, widths=halves, modality="image").evened_for < FOR
    asked, plain = (plan_effort(500, 768, 2, None, widths=widths) for widths in (halves, (768,)))
    assert estimate_peak_bytes(500, 768, 2, asked) > estimate_peak_bytes(500, 768, 2, plain)

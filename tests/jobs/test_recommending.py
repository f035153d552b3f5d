"""Backbones tried on a project's samples: by an embedder whose features tell the labels apart, or do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.head import HeadMethod
from tests.jobs.working import project, samples
from tsugiki.domain import Content, Project
from tsugiki.errors import Invalid, Unavailable
from tsugiki.jobs.recommending import HELD, Patience, Trial, try_backbones
from tsugiki.ports import Backbone, Embedder

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.domain import Floats

SAMPLES = 60


@dataclass(slots=True)
class Planted:
    """The Embedder port: features of those in `clear` tell deliveries from the rest, the others' tell nothing."""

    embedder: Embedder
    clear: frozenset[str]
    wrong_of: Mapping[str, int] = field(default_factory=dict[str, int])  # every so manieth sample, by its number
    slow: bool = False  # as slow as a real pass
    most: list[int] = field(default_factory=list[int])  # contents of each call

    def backbone(self, name: str) -> Backbone:
        if name == "absent":
            raise Unavailable("it is not here")
        return self.embedder.backbone("tiny")

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        self.most.append(len(contents))
        if self.slow:
            self.embedder.embed(tenant_id, "tiny", contents, check)
        shape = (len(contents), self.backbone(name).space.dim)
        features = np.random.default_rng(len(contents)).normal(0, 0.1, shape).astype(np.float32)
        if name in self.clear:
            for row, content in zip(features, contents, strict=True):
                sign = 1.0 if any(word in str(content) for word in ("parcel", "late", "arrive", "address")) else -1.0
                every = self.wrong_of.get(name)
                row[0] += -sign if every is not None and int(str(content).split()[-1]) % every == 0 else sign
        return features


@pytest.fixture(scope="module")
def of(core: Core) -> Project:
    made = project(core, "recommended")
    core.samples.add(made.id, samples(SAMPLES))
    return made


def tried(core: Core, of: Project, names: Sequence[str], clear: Sequence[str]) -> tuple[list[Trial], Planted]:
    planted = Planted(core.backbones, frozenset(clear))
    return try_backbones(names, of, core.samples, planted, HeadMethod()), planted


def test_the_one_that_tells_the_labels_apart_is_first_and_the_others_say_why(core: Core, of: Project) -> None:
    found, _ = tried(core, of, ["blind", "absent", "clear"], ["clear"])
    assert [trial.backbone for trial in found] == ["clear", "blind", "absent"]
    clear, blind, absent = found
    assert clear.worse_than is None and clear.accuracy > 0.85 and clear.rows == 2 * SAMPLES
    assert blind.worse_than == "clear" and blind.ci95[0] < blind.accuracy < blind.ci95[1]
    assert absent.why_not == "it is not here" and absent.worse_than is None


def test_of_those_alike_none_is_told_worse_and_the_faster_is_first(core: Core, of: Project) -> None:
    found, _ = tried(core, of, ["one", "two"], ["one", "two"])
    assert [trial.worse_than for trial in found] == [None, None]
    assert found[0].ms <= found[1].ms


def test_what_is_worse_on_the_same_rows_is_told_though_the_intervals_overlap(core: Core, of: Project) -> None:
    """It is wrong wherever the other is, and on a few rows more."""
    planted = Planted(core.backbones, frozenset({"clear", "nearly"}), wrong_of={"nearly": 13})
    found = try_backbones(["nearly", "clear"], of, core.samples, planted, HeadMethod())
    nearly = next(trial for trial in found if trial.backbone == "nearly")
    assert found[0].backbone == "clear" and nearly.worse_than == "clear"
    assert nearly.ci95[1] > found[0].ci95[0]


def test_what_would_take_too_long_is_tried_on_fewer_rows_or_not_at_all(core: Core, of: Project) -> None:
    planted = Planted(core.backbones, frozenset({"clear"}), slow=True)
    impatient = Patience(fewest_rows=20, most_s=0.0)
    first, dropped = try_backbones(["blind", "clear"], of, core.samples, planted, HeadMethod(), patience=impatient)
    assert (first.backbone, first.rows, first.worse_than) == ("blind", 20, None)
    assert (dropped.why_not, dropped.rows) == ("too slow to be tried within 0 s", 0)
    patient = Patience(fewest_rows=20, most_s=3_600.0)
    every = try_backbones(["clear", "blind"], of, core.samples, planted, HeadMethod(), patience=patient)
    assert {trial.rows for trial in every} == {2 * SAMPLES}


def test_a_foreign_one_comes_last_however_right_it_is(core: Core, of: Project) -> None:
    planted = Planted(core.backbones, frozenset({"foreign"}))
    names = ["foreign", "blind"]
    found = try_backbones(names, of, core.samples, planted, HeadMethod(), foreign={"foreign"}, most_rows=20)
    assert [(trial.backbone, trial.worse_than, trial.rows) for trial in found] == [
        ("blind", None, 20),
        ("foreign", None, 20),
    ]
    assert found[1].accuracy > found[0].accuracy


def test_few_contents_are_held_at_once(core: Core, of: Project) -> None:
    _, planted = tried(core, of, ["clear"], ["clear"])
    assert max(planted.most) == HELD
    assert sum(planted.most) > SAMPLES


def test_what_tells_nothing_is_refused(core: Core, of: Project) -> None:
    empty = project(core, "empty")
    with pytest.raises(Invalid) as few:
        tried(core, empty, ["clear"], ["clear"])
    assert few.value.reason == "too_few_samples"
    with pytest.raises(Invalid) as several:
        tried(core, replace(of, task="multi_label"), ["clear"], ["clear"])
    assert several.value.reason == "recommendation_unavailable"

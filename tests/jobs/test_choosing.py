"""Which backbone `auto` means, by the samples' language and by what a head makes of them; the tiny one serves all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.head import HeadMethod
from tests.jobs.working import WORDS, adapt, lane_of, samples
from tsugiki.backbones.outside import Outside
from tsugiki.data.text import check_sample
from tsugiki.errors import Unavailable
from tsugiki.jobs.choosing import FEWEST_ROWS, Choice, Choosing, Offers
from tsugiki.jobs.recommending import TIMED, try_backbones
from tsugiki.storage.features import Features

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.domain import Content, Floats, NewSample, Project, Task
    from tsugiki.ports import Backbone, Embedder

ENGLISH, MANY = ("en",), ("en", "ja", "de")
EXTRA = "pip install 'tsugiki[multilingual]'"
JAPANESE = {"返金": "お金 請求 支払い カード 料金 口座", "配達": "荷物 遅い 届く 住所 注文 紛失"}
names = count()


@dataclass(slots=True)
class Alike:
    """The Embedder port, delegated: the tiny backbone under any name; notes whom it was asked for."""

    embedder: Embedder
    asked: list[str] = field(default_factory=list[str])

    def backbone(self, name: str) -> Backbone:
        if name == "broken":
            raise Unavailable("its weights are gone")
        return self.embedder.backbone("tiny")

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        self.asked.append(name)
        return self.embedder.embed(tenant_id, "tiny", contents, check)


@dataclass(frozen=True, slots=True)
class Chosen:
    project: Project
    reasons: str
    backbone_of_version: str
    asked: set[str]


def chosen(
    core: Core, installed: Mapping[str, Sequence[str]], given: Sequence[NewSample], *, auto: bool = True
) -> Chosen:
    """The first adaptation of a project whose backbone is `tiny`, by `auto` or as it was named."""
    tenant = core.tenants.list().data[0]
    name = f"chosen-{next(names)}"
    made = core.projects.create(tenant.id, name, "text", "single_label", "tiny", backbone_open=auto)
    core.samples.add(made.id, given)
    embedder = Alike(core.backbones)
    offers = Offers(installed, {EXTRA: MANY})
    lane = lane_of(
        core,
        embedder=embedder,
        choose=Choosing(
            core.projects,
            core.samples,
            Features(core.database),
            embedder,
            HeadMethod(),
            lambda _: offers,
            lambda _: True,
        ),
    )
    done = adapt(core, lane, made)
    again = adapt(core, lane, made)  # of the project as it was before
    lane.close()
    assert done.plan is not None and (done.status, again.status) == ("succeeded", "succeeded")
    versions = [core.registry.get(made.id, number) for number in (1, 2)]
    assert versions[0].backbone == versions[1].backbone, "a choice is kept"
    stored = core.projects.owned(made.id)
    return Chosen(stored, " ".join(done.plan["reasons"]), versions[0].backbone, set(embedder.asked))


def japanese() -> list[NewSample]:
    return [
        check_sample({"input": f"{words.split()[n % 6]}はどうですか {n}", "label": label}, "", label_required=True)
        for label, words in JAPANESE.items()
        for n in range(12)
    ]


def test_japanese_samples_get_the_backbone_that_has_read_japanese(core: Core) -> None:
    found = chosen(core, {"tiny": ENGLISH, "broken": MANY, "many": MANY, "unstated": ()}, japanese())
    assert (found.project.backbone, found.backbone_of_version, found.asked) == ("many", "many", {"many"})
    assert not found.project.backbone_open
    assert "tiny was trained on English, and of the samples 100 % look Japanese" in found.reasons


def test_of_several_that_have_read_it_the_better_is_found_by_trying(core: Core) -> None:
    found = chosen(core, {"tiny": ENGLISH, "many": MANY, "more": MANY}, japanese())
    assert found.project.backbone == found.backbone_of_version != "tiny"
    assert found.asked == {"many", "more"}
    assert "tried: " in found.reasons and "of 24 held out" in found.reasons


@pytest.mark.parametrize("installed", [{"tiny": ENGLISH, "many": MANY}, {"tiny": (), "many": MANY}])
def test_english_samples_and_a_default_that_states_nothing_stay_with_the_default(
    core: Core, installed: dict[str, tuple[str, ...]]
) -> None:
    found = chosen(core, installed, samples() if installed["tiny"] else japanese())
    assert (found.project.backbone, found.backbone_of_version, found.asked) == ("tiny", "tiny", {"tiny"})
    assert "trained on" not in found.reasons
    assert found.project.backbone_open and "tiny, the default; many are tried beside it" in found.reasons


def test_with_none_installed_the_default_answers_and_the_plan_says_what_to_install(core: Core) -> None:
    found = chosen(core, {"tiny": ENGLISH}, japanese())
    assert found.project.backbone == found.backbone_of_version == "tiny"
    assert f"100 % look Japanese; {EXTRA} brings one" in found.reasons
    assert not found.project.backbone_open


def test_a_name_is_never_overridden_but_the_plan_says_what_speaks_against_it(core: Core) -> None:
    found = chosen(core, {"tiny": ENGLISH, "many": MANY}, japanese(), auto=False)
    assert found.project.backbone == found.backbone_of_version == "tiny"
    assert "100 % look Japanese; POST /v1/backbones/recommend" in found.reasons


@dataclass(slots=True)
class Planted:
    """The Embedder port: features of those in `clear` tell the labels apart, the others' do in half of the rows."""

    embedder: Embedder
    clear: frozenset[str]
    asked: Counter[str] = field(default_factory=Counter[str])

    def backbone(self, name: str) -> Backbone:
        """Each has a feature space of its own."""
        tiny = self.embedder.backbone("tiny")
        assert isinstance(tiny, Outside)
        return tiny.at(name)

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        self.asked[name] += len(contents)
        shape = (len(contents), self.backbone(name).space.dim)
        features = np.random.default_rng(len(contents)).normal(0, 0.1, shape).astype(np.float32)
        for row, content in zip(features, contents, strict=True):
            if name in self.clear or int(str(content).split()[-1]) % 2:
                row[0] += 1.0 if str(content).split()[0] in WORDS["delivery"] else -1.0
        return features


@dataclass(frozen=True, slots=True)
class Looked:
    choice: Choice
    stored: Project
    asked: Counter[str]
    ahead: tuple[str, ...]

    @property
    def reasons(self) -> str:
        return " ".join(self.choice.reasons)


def looked(
    core: Core,
    each: int = FEWEST_ROWS // 2,
    *,
    clear: Sequence[str] = (),
    task: Task = "single_label",
    auto: bool = True,
    loaded: bool = True,
) -> Looked:
    """The choice for a project on `tiny` with `each` samples a label, beside two others in which it is as foreign."""
    tenant = core.tenants.list().data[0]
    made = core.projects.create(tenant.id, f"measured-{next(names)}", "text", task, "tiny", backbone_open=auto)
    core.samples.add(made.id, samples(each))
    embedder = Planted(core.backbones, frozenset(clear))
    offers = Offers({"tiny": ENGLISH, "one": ENGLISH, "two": (), "strange": ("ja",)})
    choosing = Choosing(
        core.projects,
        core.samples,
        Features(core.database),
        embedder,
        HeadMethod(),
        lambda _: offers,
        lambda _: loaded,
    )
    ahead = choosing.ahead(made)
    choice = choosing(made, core.samples.labelled(made.id))
    stored = core.projects.owned(made.id)
    assert choice.project == stored
    return Looked(choice, stored, embedder.asked, ahead)


def test_with_enough_samples_the_one_that_is_better_beyond_chance_is_taken(core: Core) -> None:
    found = looked(core, clear=["two"])
    assert (found.stored.backbone, found.stored.backbone_open) == ("two", False)
    assert "two, better than tiny beyond chance; tried: two 100.0 % right" in found.reasons
    assert "one 7" in found.reasons or "one 6" in found.reasons, "what the others did is told too"
    assert found.asked.keys() == {"tiny", "one", "two"}


def test_what_was_embedded_to_try_is_kept_for_the_adaptation_and_not_embedded_again(core: Core) -> None:
    found = looked(core, clear=["two"])
    assert set(found.asked.values()) == {1 + TIMED + FEWEST_ROWS}
    features = Features(core.database)
    embedder = Planted(core.backbones, frozenset({"two"}))
    ids = {row.id for row in core.samples.labelled(found.stored.id)}
    for name in found.asked:
        assert set(features.load(found.stored.id, embedder.backbone(name).space.id).sample_ids) == ids
    tried = try_backbones(["tiny", "one", "two"], found.stored, core.samples, embedder, HeadMethod(), features=features)
    assert set(embedder.asked.values()) == {1 + TIMED}, "no more than what is timed"
    assert tried[0].backbone == "two"


def test_of_those_alike_the_default_stays(core: Core) -> None:
    found = looked(core, clear=["tiny", "one", "two"])
    assert (found.stored.backbone, found.stored.backbone_open) == ("tiny", False)
    assert "tiny, no other is better beyond chance; tried: " in found.reasons


def test_with_too_few_samples_nothing_is_tried_and_the_backbone_stays_open(core: Core) -> None:
    found = looked(core, FEWEST_ROWS // 2 - 1, clear=["two"])
    assert (found.stored.backbone, found.stored.backbone_open) == ("tiny", True)
    assert f"one and two are tried beside it from {FEWEST_ROWS} samples on" in found.reasons
    assert not found.asked


def test_many_samples_of_one_label_tell_nothing_either(core: Core) -> None:
    tenant = core.tenants.list().data[0]
    made = core.projects.create(tenant.id, "one-label", "text", "single_label", "tiny", backbone_open=True)
    core.samples.add(made.id, [sample for sample in samples(2 * FEWEST_ROWS) if sample.label == "billing"])
    embedder = Planted(core.backbones, frozenset())
    offers = Offers({"tiny": ENGLISH, "one": ENGLISH})
    choosing = Choosing(
        core.projects, core.samples, Features(core.database), embedder, HeadMethod(), lambda _: offers, lambda _: True
    )
    assert choosing(made, core.samples.labelled(made.id)).project.backbone_open
    assert not embedder.asked


def test_nobody_waits_for_one_to_be_loaded(core: Core) -> None:
    for each in (5, FEWEST_ROWS):
        found = looked(core, each, clear=["two"], loaded=False)
        assert (found.stored.backbone, found.stored.backbone_open, found.asked) == ("tiny", False, Counter())
        assert ("not loaded, so not tried: one, two (POST" in found.reasons) == (each == FEWEST_ROWS)


def test_a_named_one_and_several_labels_are_never_tried(core: Core) -> None:
    named, several = looked(core, clear=["two"], auto=False), looked(core, clear=["two"], task="multi_label")
    for found in (named, several):
        assert (found.stored.backbone, found.stored.backbone_open, found.reasons) == ("tiny", False, "")
        assert not found.asked and not found.ahead


def test_it_is_told_ahead_what_will_be_tried(core: Core) -> None:
    (told,) = looked(core, 2).ahead
    assert "the backbone is open: tiny, unless one or two or strange tells the labels apart better" in told

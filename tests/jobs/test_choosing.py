"""Which backbone `auto` means, by the language of the first samples; all names stand for the tiny one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest

from adapters.head import HeadMethod
from tests.jobs.working import adapt, lane_of, samples
from tsugiki.data.text import check_sample
from tsugiki.errors import Unavailable
from tsugiki.jobs.choosing import Choosing, Offers

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.domain import Content, Floats, NewSample, Project
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

    def embed(self, tenant_id: str, name: str, contents: Sequence[Content]) -> Floats:
        self.asked.append(name)
        return self.embedder.embed(tenant_id, "tiny", contents)


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
        choose=Choosing(core.projects, core.samples, embedder, HeadMethod(), lambda: offers),
    )
    done = adapt(core, lane, made)
    again = adapt(core, lane, made)  # of the project as it was before
    lane.close()
    assert done.plan is not None and (done.status, again.status) == ("succeeded", "succeeded")
    versions = [core.registry.get(made.id, number) for number in (1, 2)]
    assert versions[0].backbone == versions[1].backbone, "a choice is kept"
    stored = core.projects.owned(made.id)
    assert not stored.backbone_open
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


def test_with_none_installed_the_default_answers_and_the_plan_says_what_to_install(core: Core) -> None:
    found = chosen(core, {"tiny": ENGLISH}, japanese())
    assert found.project.backbone == found.backbone_of_version == "tiny"
    assert f"100 % look Japanese; {EXTRA} brings one" in found.reasons


def test_a_name_is_never_overridden_but_the_plan_says_what_speaks_against_it(core: Core) -> None:
    found = chosen(core, {"tiny": ENGLISH, "many": MANY}, japanese(), auto=False)
    assert found.project.backbone == found.backbone_of_version == "tiny"
    assert "100 % look Japanese; POST /v1/backbones/recommend" in found.reasons

"""What is recommended to a project whose samples are in a language that not every backbone has read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from service.recommending import recommended
from tests.jobs.working import core_at, project
from tsugiki.data.text import check_sample

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.backbones import Loaded
    from tsugiki.domain import Content, Floats
    from tsugiki.ports import Backbone
    from tsugiki.runtime.served import ServedBackbones


@dataclass(frozen=True, slots=True)
class Alike:
    """Two names for the tiny backbone: one states English, the other nothing."""

    served: ServedBackbones
    names: tuple[str, ...] = ("minilm-en", "tiny")

    def ready(self, name: str) -> None: ...
    def backbone(self, name: str) -> Backbone:
        return self.served.backbone("tiny")

    def embed(
        self, tenant_id: str, name: str, contents: Sequence[Content], check: Callable[[], None] = lambda: None
    ) -> Floats:
        return self.served.embed(tenant_id, "tiny", contents, check)


@pytest.fixture(scope="module")
def core(make_home: Callable[[], Path], tiny: Loaded) -> Iterator[Core]:
    with core_at(make_home(), tiny.source.folder) as made:
        yield replace(made, backbones=cast("ServedBackbones", Alike(made.backbones)))


@pytest.mark.parametrize(
    ("texts", "first", "told"),
    [
        ("これは{}番です", "tiny", "trained on English, and of the samples 100 % look Japanese: not recommended"),
        ("this is the number {}", None, "of the samples 100 % look English"),
    ],
)
def test_what_has_not_read_the_samples_is_recommended_against(
    core: Core, texts: str, first: str | None, told: str
) -> None:
    made = project(core, f"in-{first}")
    rows = [{"input": f"{texts.format(n)} {label * 4}", "label": label} for n in range(8) for label in "好嫌"]
    core.samples.add(made.id, [check_sample(row, "", label_required=True) for row in rows])
    ranked = recommended(core, "text", None, made)
    english = next(one for one in ranked if one["name"] == "minilm-en")
    assert told in english["reasons"] and english["accuracy"]["rows"] == 16
    if first is not None:
        assert (ranked[0]["name"], english["fits"]) == (first, False)

"""Names to versions: what is remembered is never older than the last move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime.assembled import Assembled, assembled
from tsugiki.backbones import Loaded
from tsugiki.domain import LIVE, Policy, Project, Version
from tsugiki.errors import NotFound, NoVersion
from tsugiki.evaluation.abstention import ALWAYS
from tsugiki.runtime.directory import Directory, Selector
from tsugiki.storage.registry import Registry

LABELS = ("no", "yes")


@pytest.fixture
def parts(tmp_path: Path, tiny: Loaded) -> Iterator[Assembled]:
    with assembled(tmp_path, tiny) as made:
        yield made


class Interrupted:
    """A registry during whose reading something else happens."""

    def __init__(self, registry: Registry, meanwhile: Callable[[], object]) -> None:
        self._registry = registry
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> object:
        return getattr(self._registry, name)

    def resolve(self, tenant_id: str, ref: str, alias: str, number: int | None) -> tuple[Project, Version | None]:
        found = self._registry.resolve(tenant_id, ref, alias, number)
        self._meanwhile()
        return found


def test_a_project_is_found_by_name_and_id_at_its_alias_or_a_number(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, LABELS, 1)
    parts.publish(project, LABELS, 2)
    for ref in ("support", project.id):
        live = parts.directory.resolve(project.tenant_id, ref, Selector())
        assert (live.version.number, live.alias) == (2, LIVE)
        pinned = parts.directory.resolve(project.tenant_id, ref, Selector(version=1))
        assert (pinned.version.number, pinned.alias) == (1, None)
        assert parts.directory.remembered(project.tenant_id, ref, Selector()) == live


def test_what_is_unknown_or_another_tenant_s_is_not_found_and_not_remembered(parts: Assembled) -> None:
    project, other = parts.project("support", "acme"), parts.project("other", "rival")
    parts.publish(project, LABELS, 1)
    parts.directory.resolve(project.tenant_id, project.id, Selector())
    for ref in (project.id, "support", "nothing"):
        with pytest.raises(NotFound):
            parts.directory.resolve(other.tenant_id, ref, Selector())
    with pytest.raises(NotFound):
        parts.directory.resolve(project.tenant_id, "support", Selector(version=9))
    with pytest.raises(NoVersion):
        parts.directory.resolve(other.tenant_id, "other", Selector())
    with pytest.raises(NoVersion):
        parts.directory.resolve(other.tenant_id, "other", Selector("canary"))
    parts.publish(other, LABELS, 2)
    with pytest.raises(NotFound, match="canary"):
        parts.directory.resolve(other.tenant_id, "other", Selector("canary"))
    assert parts.directory.resolve(other.tenant_id, "other", Selector()).version.number == 1


def test_every_way_to_move_an_alias_is_seen_by_the_next_request(parts: Assembled) -> None:
    project = parts.project("support", "acme")

    def live() -> int:
        return parts.directory.resolve(project.tenant_id, "support", Selector()).version.number

    parts.publish(project, LABELS, 1)
    assert live() == 1
    parts.publish(project, LABELS, 2)
    assert live() == 2
    parts.registry.move(project.id, LIVE, 1)
    assert live() == 1
    parts.registry.rollback(project.id, LIVE, "key_a")
    assert live() == 2


def test_an_alias_that_moves_while_it_is_read_is_not_remembered_as_it_was(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, LABELS, 1)
    parts.publish(project, LABELS, 2)
    moves = iter([lambda: parts.registry.move(project.id, LIVE, 1)])
    late: list[Directory] = []

    def meanwhile() -> None:
        for move in moves:
            move()
            late[0].forget(project.id)

    late.append(Directory(Interrupted(parts.registry, meanwhile)))  # pyright: ignore[reportArgumentType]
    asked = (project.tenant_id, "support", Selector())
    assert late[0].resolve(*asked).version.number == 2, "it asked before the move"
    assert late[0].remembered(*asked) is None
    assert late[0].resolve(*asked).version.number == 1
    assert late[0].remembered(*asked) is not None


def test_an_erased_project_is_gone_for_the_next_request(parts: Assembled) -> None:
    project = parts.project("support", "acme")
    parts.publish(project, LABELS, 1)
    asked = (project.tenant_id, "support", Selector())
    parts.directory.resolve(*asked)
    parts.projects.delete(project)
    parts.directory.forget(project.id)
    with pytest.raises(NotFound):
        parts.directory.resolve(*asked)


@pytest.mark.parametrize(("wanted", "below"), [(None, None), (0.75, 0.0), (0.95, 0.9), (1.01, ALWAYS)])
def test_the_score_to_abstain_below_follows_from_the_precision_asked_for(
    parts: Assembled, wanted: float | None, below: float | None
) -> None:
    project = parts.project("support", "acme", Policy(abstain_precision=wanted))
    parts.publish(project, LABELS, 1)
    assert parts.directory.resolve(project.tenant_id, "support", Selector()).abstain_below == below

"""I2, I3, I5, I8: every answer is its named version's own, whatever moves meanwhile; and the judge can tell.

Each control breaks one part on purpose and must be found out by the same judge in the same storm.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.runtime.assembled import assembled
from tests.runtime.grafting import BlindBank
from tests.runtime.storm import Fragile, Judge, Scale, storm
from tsugiki.backbones import Loaded
from tsugiki.domain import Version
from tsugiki.ports import Truncate
from tsugiki.runtime.banks import HEAD_OVERHEAD_BYTES, Weight
from tsugiki.runtime.directory import Directory, Selector
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.predictor import Answered, Predictor
from tsugiki.runtime.residency import Lease, Residency
from tsugiki.runtime.served import ServedBackbones

FEW = Weight(
    6 * (HEAD_OVERHEAD_BYTES + 1_200), loras=40_000, networks=0
)  # heads for less than the tenants there are: one comes, another goes


class PerRow(Predictor):
    """The fault that must be found: the alias is read anew for each row."""

    async def predict(
        self,
        tenant_id: str,
        ref: str,
        selector: Selector,
        inputs: Sequence[object],
        truncate: Truncate = "END",
        top_k: int | None = None,
    ) -> Answered:
        parts = [await super(PerRow, self).predict(tenant_id, ref, selector, [one], truncate, top_k) for one in inputs]
        return Answered(parts[0].target, tuple(row for part in parts for row in part.rows))


class Unpinned(Residency):
    """The fault that must be found: a head may go while its rows are on their way."""

    def lease_resident(self, version: Version) -> Lease | None:
        lease = super().lease_resident(version)
        return None if lease is None else _unpinned(lease)

    def lease_soon(self, version: Version) -> Future[Lease]:
        found: Future[Lease] = Future()

        def tell(leasing: Future[Lease]) -> None:
            if (error := leasing.exception()) is not None:
                found.set_exception(error)
            else:
                found.set_result(_unpinned(leasing.result()))

        super().lease_soon(version).add_done_callback(tell)
        return found


def _unpinned(lease: Lease) -> Lease:
    with lease:
        return Lease(lease.placed, lambda: None)


class ByName(Predictor):
    """The fault that must be found: a project is known by its name, whoever's it is."""

    def __init__(self, directory: Directory, residency: Residency, backbones: ServedBackbones) -> None:
        super().__init__(directory, residency, backbones)
        self._owner: dict[str, str] = {}

    async def predict(
        self,
        tenant_id: str,
        ref: str,
        selector: Selector,
        inputs: Sequence[object],
        truncate: Truncate = "END",
        top_k: int | None = None,
    ) -> Answered:
        return await super().predict(self._owner.setdefault(ref, tenant_id), ref, selector, inputs, truncate, top_k)


def fragile(tiny: Loaded) -> Fragile:
    return Fragile(OnnxEngine(tiny, threads=1), tiny)


def test_every_answer_is_its_named_version_s_own(tmp_path: Path, tiny: Loaded) -> None:
    with assembled(tmp_path, tiny, budget=FEW, engine=fragile(tiny)) as parts:
        seen = storm(parts)
        assert Judge(parts).faults(seen) == []
        assert {one.tenant for one in seen} == {f"t{number}" for number in range(Scale().tenants)}
        assert len({(one.tenant, one.answered.target.version.number) for one in seen}) > Scale().tenants
        assert parts.residency.resident.heads <= FEW.heads


def test_without_pins_a_row_is_refused_and_never_answered_by_another_head(tmp_path: Path, tiny: Loaded) -> None:
    with assembled(tmp_path, tiny, budget=Weight(0), make_residency=Unpinned) as parts:
        assert Judge(parts, frozenset({"stale_slot"})).faults(storm(parts)) == []


def test_without_pins_and_generations_foreign_answers_are_found(
    tmp_path: Path, tiny: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsugiki.runtime.served.HeadBank", BlindBank)
    with assembled(tmp_path, tiny, budget=Weight(0), make_residency=Unpinned) as parts:
        assert Judge(parts).faults(storm(parts)) != []


def test_an_alias_read_for_each_row_is_found(tmp_path: Path, tiny: Loaded) -> None:
    with assembled(tmp_path, tiny, make_predictor=PerRow) as parts:
        assert Judge(parts).faults(storm(parts)) != []


def test_projects_known_by_name_alone_are_found(tmp_path: Path, tiny: Loaded) -> None:
    with assembled(tmp_path, tiny, make_predictor=ByName) as parts:
        assert Judge(parts).faults(storm(parts)) != []

"""One pass of a backbone: features of many tenants' rows, and each row's own answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.runtime.heads import StaleSlot
from tsugiki.runtime.loras import NONE, grouped
from tsugiki.runtime.route import LoraSlot, OwnNetwork, Rack

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow
    from tsugiki.errors import TsugikiError
    from tsugiki.ports import Engine
    from tsugiki.runtime.banks import Banks
    from tsugiki.runtime.batcher import Passed
    from tsugiki.runtime.route import Kin, Route


class Network:
    """The batcher's Work: rows with a route get its head's probabilities, rows without one the feature itself."""

    def __init__(self, engine: Engine, banks: Banks) -> None:
        self._engine = engine
        self._banks = banks

    def run(self, rows: Sequence[InputRow], routes: Sequence[Route | None], at_once: bool = False) -> Passed:
        """Rows of one pass are of one kin; `at_once`: see `Engine.run`. Raises what the engine raises."""
        kin: Kin = next((route.kin for route in routes if route is not None and route.kin is not None), None)
        started = time.perf_counter()
        match kin:
            case None:
                features = self._engine.run(rows, at_once=at_once)
            case Rack():
                features = self._adapted(kin, rows, routes)
            case OwnNetwork():
                features = kin.engine.run(rows, at_once=at_once)
        engine_s = time.perf_counter() - started
        return self._answers(routes, features), engine_s

    def _adapted(self, rack: Rack, rows: Sequence[InputRow], routes: Sequence[Route | None]) -> Floats:
        """Rows without an adapter read the slot that adds nothing. Rows of one adapter stand together."""
        order, slots = grouped([_lora_index(route) for route in routes])
        features = self._engine.run([rows[row] for row in order], self._banks.loras.adapters(rack, slots))
        unsorted = np.empty_like(features)
        unsorted[order] = features
        return unsorted

    def _answers(self, routes: Sequence[Route | None], features: Floats) -> list[Floats | TsugikiError]:
        replies: list[Floats | TsugikiError] = list(features)
        routed = [(row, route) for row, route in enumerate(routes) if route is not None]
        if not routed:
            return replies
        chosen = features if len(routed) == len(routes) else features[[row for row, _ in routed]]
        found = self._banks.heads.probabilities([route for _, route in routed], chosen)
        for (row, route), reply in zip(routed, found, strict=True):
            replies[row] = reply if self._owns(route) else StaleSlot("the row's adapter is another's by now")
        return replies

    def _owns(self, route: Route) -> bool:
        """Asked after the engine has read the adapter's slot: if it is the row's own now, it was then."""
        return not isinstance(route.delta, LoraSlot) or self._banks.loras.owns(route.delta)


def _lora_index(route: Route | None) -> int:
    return route.delta.index if route is not None and isinstance(route.delta, LoraSlot) else NONE

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.core import Core
from tests.jobs.working import core_at, lane_of
from tsugiki.backbones import Loaded
from tsugiki.jobs.fast_lane import FastLane


@pytest.fixture(scope="module")
def core(make_home: Callable[[], Path], tiny: Loaded) -> Iterator[Core]:
    """One for all tests of a module: each makes a project of its own."""
    with core_at(make_home(), tiny.source.folder) as made:
        yield made


@pytest.fixture
def lane(core: Core) -> Iterator[FastLane]:
    made = lane_of(core)
    yield made
    made.close()

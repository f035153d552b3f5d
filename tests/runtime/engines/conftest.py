"""Engines run a network some of whose products are worth 8 bits."""

from __future__ import annotations

import pytest

from tsugiki.backbones import Loaded


@pytest.fixture(scope="session")
def tiny(wide: Loaded) -> Loaded:
    return wide

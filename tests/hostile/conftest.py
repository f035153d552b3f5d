from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.launch import Running
from tests.service.asking import Tenant, new_tenant


@pytest.fixture(scope="module")
def tenant(server: Running) -> Iterator[Tenant]:
    """A tenant with a project `support` that has a version."""
    with new_tenant(server) as made:
        made.adapt("support")
        yield made

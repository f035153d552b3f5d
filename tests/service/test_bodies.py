"""Bodies are counted while they are held, each tenant's apart and all together."""

from __future__ import annotations

import pytest

from service.bodies import ALL_BODIES, TENANT_BODIES, Bodies
from tsugiki.errors import Overloaded

LARGEST = 100


def test_a_tenant_s_bodies_and_those_of_all_are_bounded_until_they_are_answered() -> None:
    bodies = Bodies()
    bodies.take("acme", TENANT_BODIES * LARGEST, LARGEST)
    with pytest.raises(Overloaded, match="this tenant"):
        bodies.take("acme", 1, LARGEST)
    bodies.take("other", (ALL_BODIES - TENANT_BODIES) * LARGEST, LARGEST)
    with pytest.raises(Overloaded, match="all tenants"):
        bodies.take("third", 1, LARGEST)
    bodies.give_back("acme", TENANT_BODIES * LARGEST)
    bodies.take("third", 1, LARGEST)
    bodies.take("acme", 1, LARGEST)

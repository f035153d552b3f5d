"""Event streams are counted while they are open, each tenant's apart."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.streams import TENANT_STREAMS, Streams
from tsugiki.errors import Overloaded


def test_a_tenant_with_as_many_as_it_may_have_is_refused_until_one_is_closed() -> None:
    streams = Streams()
    with ExitStack() as opened:
        for _ in range(TENANT_STREAMS):
            streams.admit("acme")
            opened.enter_context(streams.opened("acme"))
        with pytest.raises(Overloaded, match="event streams"):
            streams.admit("acme")
        streams.admit("other")
    streams.admit("acme")

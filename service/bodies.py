"""How much of requests' bodies is in memory, of a tenant and in all."""

from __future__ import annotations

from collections import Counter

from tsugiki.errors import Overloaded

# Times the largest body there may be: 128 MiB of a tenant, 256 in all, unless another limit is set.
TENANT_BODIES, ALL_BODIES = 8, 16


class Bodies:
    """Counted as they arrive, until they are answered: one that never ends costs what it sent. For the event loop."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()
        self._all = 0

    def take(self, tenant_id: str, size: int, largest: int) -> None:
        """So many bytes more, where a body may have `largest`. Raises Overloaded."""
        for held, most, whose in (
            (self._of[tenant_id], TENANT_BODIES * largest, "this tenant"),
            (self._all, ALL_BODIES * largest, "all tenants"),
        ):
            if held + size > most:
                detail = f"requests of {whose} hold {held:,} of {most:,} bytes already"
                raise Overloaded(detail, fix="send fewer large requests at a time")
        self._of[tenant_id] += size
        self._all += size

    def give_back(self, tenant_id: str, size: int) -> None:
        self._all -= size
        self._of[tenant_id] -= size
        if not self._of[tenant_id]:
            del self._of[tenant_id]

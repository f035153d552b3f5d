"""Of the threads that routes block in, how many one tenant's calls hold at a time."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

TENANT_CALLS = 8  # more are quicker on few cores only where they wait for a disk


class Shares:
    """A tenant's further calls wait for its own, so that no tenant's slow ones keep all others from being answered."""

    def __init__(self) -> None:
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant_id: str) -> asyncio.Semaphore:
        """To be held while a thread is; for the event loop."""
        share = self._of.get(tenant_id)
        if share is None:
            share = self._of[tenant_id] = asyncio.Semaphore(TENANT_CALLS)
        return share

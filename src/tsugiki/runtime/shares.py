"""Of the threads that requests block in, how many one tenant's hold at a time."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class Shares:
    """A tenant's further requests wait for its own, so that no tenant's slow ones keep all others from being answered.

    `most` of one tenant's hold a thread at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant_id: str) -> asyncio.Semaphore:
        """To be held while a thread is; for the event loop."""
        share = self._of.get(tenant_id)
        if share is None:
            share = self._of[tenant_id] = asyncio.Semaphore(self._most)
        return share

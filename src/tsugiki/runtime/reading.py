"""Files that come with requests, read in threads of their own: who waits for a decoder keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tsugiki.runtime.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from tsugiki.domain import Content, Prepared
    from tsugiki.errors import Invalid

    Rows = list[Prepared | Invalid]
    Read = Callable[[Sequence[Content]], Rows]

READERS = 32  # parts that are read at a time; each waits for the decoders, of which there are few
TENANT_READS = 8  # of one tenant's requests
# A part: enough for every decoder to be busy, and no more than that is still read for a caller who has left.
PART_FILES, PART_BYTES = 32, 4 << 20


class Reading:
    """For the event loop. A tenant's requests take turns among themselves, and leave threads to all others."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="reading")
        self._shares = Shares(TENANT_READS)
        self._begun: set[asyncio.Task[Rows]] = set()

    async def rows(self, tenant_id: str, read: Read, contents: Sequence[Content]) -> Rows:
        """What `read` makes of them, in order. Cancelled, it begins no further part. Raises what `read` raises."""
        rows: Rows = []
        for part in _parts(contents):
            share = self._shares.of(tenant_id)
            await share.acquire()
            # A thread is not to be stopped: the part is read to its end, whoever leaves, and holds its share till then.
            begun = asyncio.create_task(self._read(share, read, part))
            self._begun.add(begun)
            begun.add_done_callback(self._ended)
            rows += await asyncio.shield(begun)
        return rows

    def close(self) -> None:
        """Once nothing is asked any more."""
        self._threads.shutdown()

    async def _read(self, share: asyncio.Semaphore, read: Read, part: Sequence[Content]) -> Rows:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, read, part)
        finally:
            share.release()

    def _ended(self, task: asyncio.Task[Any]) -> None:  # Any: of rows that are not looked at
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # where nobody waits any more it is told to nobody, and no error


def _parts(contents: Sequence[Content]) -> Generator[list[Content]]:
    part: list[Content] = []
    size = 0
    for content in contents:
        if part and (len(part) == PART_FILES or size + len(content) > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(content)
        size += len(content)
    if part:
        yield part

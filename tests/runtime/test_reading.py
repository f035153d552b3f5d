"""Files of requests are read in threads that no tenant holds all of, and not on and on for callers who left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import closing, suppress

import pytest

from tsugiki.domain import Content, Prepared
from tsugiki.errors import Invalid
from tsugiki.runtime.reading import PART_BYTES, PART_FILES, READERS, TENANT_READS, Reading

SOON_S = 30.0
FILE = b"file"


class Decoder:
    """Reads when it is let."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.let = threading.Event()
        self.parts: list[int] = []

    def read(self, part: Sequence[Content]) -> list[Prepared | Invalid]:
        self.parts.append(len(part))
        self.entered.release()
        assert self.let.wait(SOON_S)
        return [Invalid(str(content)) for content in part]

    async def busy(self, parts: int) -> None:
        for _ in range(parts):
            assert await asyncio.to_thread(self.entered.acquire, timeout=SOON_S)


def test_one_tenant_s_files_leave_threads_to_all_others() -> None:
    slow, quick = Decoder(), Decoder()
    quick.let.set()

    async def scenario() -> None:
        with closing(Reading()) as reading:
            asked = [asyncio.create_task(reading.rows("greedy", slow.read, [FILE])) for _ in range(2 * READERS)]
            await slow.busy(TENANT_READS)
            assert len(await asyncio.wait_for(reading.rows("other", quick.read, [FILE]), SOON_S)) == 1
            assert len(slow.parts) == TENANT_READS, "its further files wait for its own"
            slow.let.set()
            await asyncio.gather(*asked)

    asyncio.run(scenario())
    assert len(slow.parts) == 2 * READERS


def test_for_who_left_no_further_part_is_read_and_the_one_begun_still_counts() -> None:
    decoder = Decoder()

    async def scenario() -> None:
        with closing(Reading()) as reading:
            many = [FILE] * (3 * PART_FILES)
            left = [asyncio.create_task(reading.rows("one", decoder.read, many)) for _ in range(TENANT_READS)]
            await decoder.busy(TENANT_READS)
            for task in left:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            next_one = asyncio.create_task(reading.rows("one", decoder.read, [FILE]))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(next_one), 0.2)
            assert len(decoder.parts) == TENANT_READS, "threads that are still busy are still its own"
            decoder.let.set()
            assert len(await next_one) == 1

    asyncio.run(scenario())
    assert decoder.parts == [PART_FILES] * TENANT_READS + [1]


def test_parts_are_bounded_in_files_and_bytes_and_rows_are_in_order() -> None:
    decoder = Decoder()
    decoder.let.set()
    large = b"x" * (PART_BYTES - 2)
    contents = [b"%d" % number for number in range(PART_FILES + 1)] + [large, b"yy", large, large]

    async def scenario() -> list[Prepared | Invalid]:
        with closing(Reading()) as reading:
            return await reading.rows("one", decoder.read, contents)

    rows = asyncio.run(scenario())
    assert [str(row) for row in rows] == [str(content) for content in contents]
    assert decoder.parts == [PART_FILES, 2, 2, 1]


def test_what_reading_raises_is_raised() -> None:
    def fail(part: Sequence[Content]) -> list[Prepared | Invalid]:
        raise Invalid("broken")

    async def scenario() -> None:
        with closing(Reading()) as reading:
            await reading.rows("one", fail, [FILE])

    with pytest.raises(Invalid, match="broken"):
        asyncio.run(scenario())

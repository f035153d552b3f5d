"""Threads for the short database work in front of every route: never behind anybody's long work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

CLERKS = 4  # each call takes a millisecond or two


class Clerks:
    """Who checks keys and repeated requests. A pool shared with predictions would let one tenant lock out all."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CLERKS, thread_name_prefix="clerk")

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.wrap_future(self._pool.submit(work, *args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown()

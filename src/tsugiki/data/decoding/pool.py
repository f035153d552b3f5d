"""Decoder processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsugiki.data.decoding.images import View

T = TypeVar("T")
R = TypeVar("R")


class DecoderPool:
    def __init__(self, processes: int) -> None:
        self._processes = processes

    def image(self, data: bytes, view: View) -> NDArray[np.uint8]:
        raise NotImplementedError

    def sound(self, data: bytes, rate: int, most_seconds: float) -> NDArray[np.float32]:
        raise NotImplementedError

    def map(self, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
        return list(map(read, items))

    def close(self) -> None: ...

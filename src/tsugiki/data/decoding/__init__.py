"""Files to pixels and samples: one way to read them for training, serving and export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from tsugiki.data.decoding.images import View
from tsugiki.domain import Modality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsugiki.errors import Invalid

T = TypeVar("T")
R = TypeVar("R")

LOOKED_AT = View(size=224, crop=1.0, resample="bilinear")  # what a picture is measured on
RATE = 16_000  # samples a second: what networks of speech hear
MOST_SECONDS = 30.0  # of a sound: Whisper's window, and 1,500 positions make a pass of half a second


class Decoder(Protocol):
    """Reads files apart from the process that asks: a file that ends its decoder costs that file. Thread-safe."""

    def image(self, data: bytes, view: View) -> NDArray[np.uint8]:
        """(size, size, 3), RGB. Raises Invalid: `image_undecodable`, `image_too_large`, `image_too_small`."""
        ...

    def sound(self, data: bytes, rate: int, most_seconds: float) -> NDArray[np.float32]:
        """(samples,), one channel. Raises Invalid: `audio_undecodable`, `audio_too_long`, `audio_silent`."""
        ...

    def sounds(self, files: Sequence[bytes], rate: int, most_seconds: float) -> list[NDArray[np.float32] | Invalid]:
        """Each as `sound`, or what that raises."""
        ...

    def look(self, data: bytes, modality: Modality) -> dict[str, float]:
        """What the file is like once it has been read; see `measures`. Raises as above."""
        ...

    def map(self, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`read` of each, in order, as many at a time as there are decoders. Raises what `read` raises first."""
        ...

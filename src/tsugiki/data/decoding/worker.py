"""A process that reads files for another one: `python -m tsugiki.data.decoding.worker`, frames in, frames out.

A file that ends it costs that file. It may not take more memory than it should need, and ends with its owner.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tsugiki.data.decoding.frames import Broken, packed, read_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of addresses. A picture of 50 million pixels takes 150 MB as RGB, 200 with transparency, and twice that on its way.
MOST_MEMORY = 3 << 29

Header = dict[str, Any]  # Any: JSON
Read = Callable[[bytes, Header], "tuple[Header, NDArray[Any]]"]  # Any: uint8 or float32
NOTHING = np.zeros(0, np.uint8)


def main() -> None:
    # Ctrl-C goes to the whole group of processes; when this one is to end, its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # what a library prints there must not be taken for a reply
        os.dup2(silence, stream.fileno())
    try:
        serve(sys.stdin.buffer, replies)
    except (Broken, BrokenPipeError):
        sys.exit(1)  # the owner has gone


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Until there are no more."""
    while (request := read_frame(requests)) is not None:
        header, values = answer(request.header, request.data)
        for part in packed(header, values.tobytes()):
            _write(replies, part)


def answer(header: Header, data: bytes) -> tuple[Header, NDArray[Any]]:  # Any: as in Read
    """The reply's header, `refused` in it where the file cannot be read, and the values."""
    try:
        found, values = READS[header["read"]](data, header)
    except MemoryError:
        return {
            "refused": [f"{header['kind']}_too_large", "reading it takes too much memory", "send a smaller one"]
        }, NOTHING
    except ValueError as unreadable:
        code, detail, fix = (getattr(unreadable, name, None) for name in ("code", "detail", "fix"))
        if code is None:
            raise
        return {"refused": [code, detail, fix]}, NOTHING
    return {**found, "dtype": str(values.dtype), "shape": values.shape}, values


def _image(data: bytes, header: Header) -> tuple[Header, NDArray[Any]]:  # Any: as in Read
    from tsugiki.data.decoding.images import View, read_image

    return {}, read_image(data, View(**header["view"]))


def _sound(data: bytes, header: Header) -> tuple[Header, NDArray[Any]]:  # Any: as in Read
    from tsugiki.data.decoding.sounds import read_sound

    return {}, read_sound(data, header["rate"], header["most_seconds"])


def _look_at(data: bytes, header: Header) -> tuple[Header, NDArray[Any]]:  # Any: as in Read
    from tsugiki.data.decoding.images import View, read_with_size
    from tsugiki.data.decoding.measures import measure_picture

    pixels, (width, height) = read_with_size(data, View(**header["view"]))
    return {"measures": {"width": width, "height": height, **measure_picture(pixels)}}, NOTHING


def _listen_to(data: bytes, header: Header) -> tuple[Header, NDArray[Any]]:  # Any: as in Read
    from tsugiki.data.decoding.measures import measure_sound
    from tsugiki.data.decoding.sounds import read_sound

    samples = read_sound(data, header["rate"], header["most_seconds"])
    return {"measures": measure_sound(samples, header["rate"])}, NOTHING


READS: Mapping[str, Read] = {"image": _image, "sound": _sound, "look": _look_at, "listen": _listen_to}


def _write(stream: BinaryIO, part: bytes | memoryview) -> None:
    """All of it: an unbuffered stream may take less at a time."""
    rest = memoryview(part)
    while len(rest):
        rest = rest[stream.write(rest) :]


if __name__ == "__main__":
    main()

"""A process that decodes what it is sent, one file at a time: `python -m tsugiki.data.decoding.worker MEMORY_BYTES`.

Frames come and go over its standard input, a socket. It says {} when it can begin; to a frame of files it says {} when
it has read it, so that the pool knows whether they can have killed it, and then of each the array, or why there is
none. It ends when the socket closes, as it does when the service dies. (The kernel's signal for that comes too early:
when the thread ends that started the process.)
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsugiki.data.decoding import images, measures
from tsugiki.data.decoding.frames import Header, receive, send

ALONE_S = 600  # the end of files where no pool is left to end it; far above what a pool allows


def main(memory_bytes: int) -> None:
    channel = _settle(memory_bytes)
    send(channel, {}, b"")
    while True:
        try:
            request = receive(channel)
        except EOFError:
            return
        send(channel, {}, b"")
        signal.alarm(ALONE_S)
        _answer(channel, request.header, bytes(request.body))
        signal.alarm(0)


def _settle(memory_bytes: int) -> socket.socket:
    """Sets limits; gives the channel a number of its own, so that no library writes to it by accident."""
    for number in (signal.SIGINT, signal.SIGTERM):  # for the service, which reads what it has begun and closes the pool
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold a tenant's file
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)
    return channel


def _answer(channel: socket.socket, header: Header, body: bytes) -> None:
    """`sizes` of the header are those of the files, which the body holds one after another."""
    read, place = READERS[header["kind"]], 0
    told: list[Header] = []
    arrays: list[memoryview] = []
    for size in header["sizes"]:
        found = read(header, body[place : place + size])
        place += size
        if isinstance(found, np.ndarray):
            arrays.append(np.ascontiguousarray(found).data.cast("B"))
            found = {"shape": found.shape, "dtype": found.dtype.name}
        told.append(found)
    send(channel, {"files": told}, b"".join(arrays))


def _image(header: Header, data: bytes) -> NDArray[np.uint8] | Header:
    view = images.View(header["size"], header["crop"], header["resample"], header["squash"])
    try:
        return images.read_image(data, view)
    except images.Unreadable as error:
        return {"code": error.code, "detail": error.detail, "fix": error.fix}


def _look(header: Header, data: bytes) -> NDArray[np.float32] | Header:
    """See PICTURE_MEASURES."""
    pixels = _image(header, data)
    if not isinstance(pixels, np.ndarray):
        return pixels
    return np.array([*images.size_of(data), *measures.of_picture(pixels)], np.float32)


def _sound(header: Header, data: bytes) -> NDArray[np.float32] | Header:
    from tsugiki.data.decoding import sounds  # an extra, which may not be installed

    try:
        return sounds.read_sound(data, header["rate"], header["most_seconds"])
    except sounds.Unreadable as error:
        return {"code": error.code, "detail": error.detail, "fix": error.fix}


def _listen(header: Header, data: bytes) -> NDArray[np.float32] | Header:
    """See SOUND_MEASURES."""
    samples = _sound(header, data)
    if not isinstance(samples, np.ndarray):
        return samples
    return np.array(measures.of_sound(samples, header["rate"]), np.float32)


READERS: dict[str, Callable[[Header, bytes], NDArray[Any] | Header]] = {  # Any: uint8 or float32
    "image": _image,
    "look": _look,
    "sound": _sound,
    "listen": _listen,
}


if __name__ == "__main__":
    main(int(sys.argv[1]))

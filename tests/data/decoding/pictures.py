"""Pictures as files: good ones of every kind that is read, and those that somebody makes to do harm."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 160, 120
PNG_START = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112
# What a camera that was held so stores: `orientation` n is undone by the n-th of EXIF, so this is its inverse.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def photo(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Image.Image:
    """Smooth, coloured, and like no mirror image or rotation of itself."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # Any: each writer has its own options
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes, *before: bytes) -> bytes:
    """With unfiltered rows: `pixels` has a 0 before each."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"".join([PNG_START, header, *before, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")])


def rows(array: NDArray[Any]) -> bytes:  # Any: bytes or big-endian pairs of them
    return b"".join(b"\0" + row.tobytes() for row in array)


def blank(width: int, height: int) -> bytes:
    """A sound 1-bit PNG, a thousandth of its pixels in size."""
    return png(width, height, 1, 0, bytes((1 + -(-width // 8)) * height))


def claiming(width: int, height: int) -> bytes:
    """A PNG with a few bytes of pixels, whatever its header says."""
    return png(width, height, 8, 2, bytes(100))


def exif(orientation: int) -> bytes:
    directory = Image.Exif()
    directory[ORIENTATION] = orientation
    return directory.tobytes()


def turned(image: Image.Image, orientation: int, kind: str, **options: Any) -> bytes:  # Any: as above
    """A file of the upright `image`, stored as EXIF's `orientation` has it."""
    method = STORED[orientation]
    stored = image if method is None else image.transpose(method)
    return saved(stored, kind, exif=exif(orientation), **options)


def animated(kind: str, **options: Any) -> bytes:  # Any: as above
    frames = [photo(seed=seed) for seed in (0, 1, 2)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil.html", "<script>alert(1)</script>" * 20)
    return file.getvalue()


def text_bomb() -> bytes:
    """A small picture whose texts would unpack to 500 MB."""
    bombs = [chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 20), 9))] * 500
    return png(WIDTH, HEIGHT, 8, 0, rows(np.zeros((HEIGHT, WIDTH), np.uint8)), *bombs)


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there `count` times."""
    data = saved(photo(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def gif(width: int, height: int, frame: tuple[int, int, int, int]) -> bytes:
    """A GIF whose first frame is at (left, top, width, height), with one block of pixels that do not suffice."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    return screen + b"," + struct.pack("<HHHHB", *frame, 0) + b"\x02\x02\x4c\x01\x00;"


def good() -> dict[str, bytes]:
    """One good file of each kind, for mutations."""
    palette = photo().convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    clear = photo()
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    return {
        "jpeg": saved(photo(), "JPEG"),
        "jpeg-progressive": saved(photo(), "JPEG", progressive=True, exif=exif(6)),
        "jpeg-cmyk": saved(photo().convert("CMYK"), "JPEG"),
        "png": saved(photo(), "PNG"),
        "png-palette": saved(palette, "PNG", transparency=3),
        "png-alpha": saved(clear, "PNG"),
        "apng": animated("PNG"),
        "webp": saved(clear, "WEBP", exif=exif(8)),
        "webp-lossless": saved(photo(), "WEBP", lossless=True),
        "webp-animated": animated("WEBP"),
        "gif": saved(palette, "GIF"),
        "gif-animated": animated("GIF"),
    }

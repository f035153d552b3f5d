"""A picture's bytes to pixels: the one function that training, serving and every export read with.

Imports numpy and Pillow only, because this file is copied into exports as it is. Colour profiles are ignored: numbers
are taken as sRGB, as the pictures were that the networks learned from.

Only the parts of a file that make its first frame reach the decoder, and sizes are read here, before it allocates.
So Pillow's own limits and warnings, which are one setting for a whole process, never come into play.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

MOST_PIXELS = 50_000_000  # what phones take at most in their usual settings; some 200 MB a copy in Pillow
MOST_SIDE = 16_384  # px; WEBP ends here, and no camera is beyond it
LEAST_SIDE = 8  # px; one block of a JPEG
MOST_PARTS = 4096  # of a JPEG before its pixels: some 20 are usual, 255 of them a colour profile at most
MOST_SCANS = 256  # of a progressive JPEG: each goes over the whole picture, 10 are usual
DRAFT_GAP = 3  # a JPEG is decoded at 1/2, 1/4 or 1/8 if that leaves this many times the sides that are asked for

FIX_TYPE = "send a JPEG, PNG, WEBP or GIF file"
FIX_WHOLE = "send the whole file, or save the picture anew"


class Unreadable(ValueError):
    """One picture cannot be used. `code` is the API's: `input_empty`, `image_undecodable`, `image_too_large`,
    `image_too_small`; `detail` says what was found and never quotes the bytes; `fix` what to do.
    """

    def __init__(self, code: str, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fix = fix


@dataclass(frozen=True, slots=True)
class View:
    """What a network sees of a picture: a square of `size` px, cut from the middle.

    Before, the picture is scaled so that its short side has `size / crop` px, rounded; `crop` is in (0, 1]. With
    `squash` both sides have so many then, whatever the picture's shape.
    """

    size: int
    crop: float
    resample: Literal["bilinear", "bicubic"]
    squash: bool = False


def read_image(data: bytes, view: View) -> NDArray[np.uint8]:
    """RGB pixels (size, size, 3) of a JPEG, PNG, WEBP or GIF, told by its bytes; of an animation, the first frame.

    Turned upright as EXIF says; what is transparent lies on white. CMYK is taken as Adobe's, inverted, as browsers do.
    A JPEG damaged within its pixels may read as grey from there on: its decoder does not tell.

    Raises Unreadable.
    """
    kind = _sniff(data)
    try:
        file = KINDS[kind](data)
        _check_size(*file.image.size)
        if kind == "JPEG":
            _draft(file.image, view)
        file.image.load()
        image = _rgb(file.image)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # whatever Pillow's parsers stumble on: from SyntaxError to IndexError and zlib's own
        raise _undecodable(f"the {kind} file is damaged or cut off", FIX_WHOLE) from error
    return _seen(_upright(image, file.exif), view)


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture that `read_image` has read, as they lie in the file."""
    return KINDS[_sniff(data)](data).image.size


class _File(NamedTuple):
    image: ImageFile  # not decoded yet
    exif: bytes


def _sniff(data: bytes) -> str:
    if not data:
        raise Unreadable("input_empty", "the file is empty", FIX_TYPE)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for kind, start in STARTS.items():
        if data.startswith(start):
            return kind
    if data[4:8] == b"ftyp":
        raise _undecodable("the file is a HEIC, an AVIF or a video", FIX_TYPE)
    raise _undecodable("the bytes are not those of a JPEG, PNG, WEBP or GIF file", FIX_TYPE)


def _check_size(width: int, height: int) -> None:
    found = f"the picture has {width:,} x {height:,} pixels"
    if max(width, height) > MOST_SIDE:
        raise Unreadable("image_too_large", f"{found}, a side has at most {MOST_SIDE:,}", "scale it down")
    if width * height > MOST_PIXELS:
        raise Unreadable("image_too_large", f"{found}, at most {MOST_PIXELS:,} are read", "scale it down")
    if min(width, height) < LEAST_SIDE:
        raise Unreadable("image_too_small", f"{found}, a side has at least {LEAST_SIDE}", "send a larger picture")


def _jpeg(data: bytes) -> _File:
    """Without what is no part of the pixels: profiles, thumbnails, comments."""
    kept, exif = [data[:2]], b""
    for marker, part in _jpeg_parts(data):
        if marker == 0xE1 and part[4:10] == b"Exif\0\0":
            exif = exif or part[4:]
        if marker in (0xE0, 0xEE) or not 0xE0 <= marker <= 0xFE:  # JFIF's and Adobe's say which colours these are
            kept.append(part)
    scans = kept[-1]
    if scans.count(b"\xff\xda", 0, scans.find(b"\xff\xd9")) > MOST_SCANS:
        raise _undecodable(f"the JPEG file has more than {MOST_SCANS} scans", "save the picture anew")
    return _File(JpegImageFile(io.BytesIO(b"".join(kept))), exif)


def _jpeg_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, bytes) of each; the last is all from the first scan on. Decoders too step over what lies between."""
    place = 2
    for _ in range(MOST_PARTS):
        found = NEXT_PART.search(data, place)
        if found is None:
            raise ValueError("there is no scan")
        start, marker = found.start(), found[1][0]
        if marker == 0xDA:
            yield marker, data[start:]
            return
        place = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        yield marker, data[start:place]
    raise _undecodable(f"the JPEG file has more than {MOST_PARTS} parts before its pixels", "save the picture anew")


def _png(data: bytes) -> _File:
    """Without texts and profiles, which may be bombs of their own, and without the frames of an animation."""
    kept, exif, place, name = [data[:8]], b"", 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place)
        chunk = data[place : place + 12 + length]
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise ValueError("a chunk is not what its checksum says")
            kept.append(chunk)
        elif name == b"eXIf":
            exif = chunk[8:-4]
        place += 12 + length
    image = PngImageFile(io.BytesIO(b"".join(kept)))
    _scale_key(image, depth=data[24])
    return _File(image, exif)


def _scale_key(image: ImageFile, depth: int) -> None:
    """The transparent colour, which Pillow leaves in the file's bits, in those of its pixels."""
    key: object = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = (key & (1 << depth) - 1) * 255 // ((1 << depth) - 1)
    elif image.mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple((part >> depth - 8) & 255 for part in cast(tuple[int, ...], key))


def _webp(data: bytes) -> _File:
    _check_size(*_webp_size(data))  # the decoder allocates when it is made
    image = WebPImageFile(io.BytesIO(data))
    return _File(image, image.info.get("exif", b""))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Of the canvas; https://developers.google.com/speed/webp/docs/riff_container."""
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _gif(data: bytes) -> _File:
    """Pillow widens the canvas to the first frame's end, and warns about it: so that is looked at first."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[place] == ord("!"):
        place += 2
        while length := data[place]:
            place += 1 + length
        place += 1
    left, top, right, bottom = struct.unpack_from("<HHHH", data, place + 1)
    _check_size(max(width, left + right), max(height, top + bottom))
    return _File(GifImageFile(io.BytesIO(data)), b"")


STARTS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8"}
NEXT_PART = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # a JPEG's marker that has a length
KINDS: dict[str, Callable[[bytes], _File]] = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif}


def _draft(image: ImageFile, view: View) -> None:
    """Most of a photo's pixels need not be decoded for a small square."""
    side = DRAFT_GAP * round(view.size / view.crop)
    image.draft(None, (side, side))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        image = _high_bytes(image)
    if image.mode in ("LA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_bytes(image: Image.Image) -> Image.Image:
    """8 of 16 bits, as Pillow does with colours; it would clip grey ones."""
    grey = np.asarray(image)
    high = (grey >> 8).astype(np.uint8)
    if (key := image.info.get("transparency")) is not None:
        high[grey == key] = 255
    return Image.fromarray(high)


def _upright(image: Image.Image, exif: bytes) -> Image.Image:
    turn = TURNS.get(_orientation(exif))
    return image if turn is None else image.transpose(turn)


def _orientation(exif: bytes) -> int:
    """1 to 8, tag 0x0112 of the first directory; 1 where the EXIF does not say, or is damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        place = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(struct.unpack_from(order + "H", tiff, place)[0]):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, place + 2 + 12 * entry)
            if (tag, kind) == (0x0112, 3):
                return value
    except struct.error:
        return 1
    return 1


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _seen(image: Image.Image, view: View) -> NDArray[np.uint8]:
    """Scaled and cut in one step: what is cut off is never computed, however long a strip the picture is."""
    short = view.size / view.crop
    scale = short / min(image.size)
    scaled = [round(short if view.squash else side * scale) for side in image.size]
    sides = [_cut(side, max(view.size, px), view.size) for side, px in zip(image.size, scaled, strict=True)]
    box = (sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    filter = Image.Resampling.BICUBIC if view.resample == "bicubic" else Image.Resampling.BILINEAR
    return np.array(image.resize((view.size, view.size), filter, box))


def _cut(side: int, scaled: int, size: int) -> tuple[float, float]:
    """Where the middle `size` px of a side that is to have `scaled` px begin and end in its own px."""
    first = (scaled - size) // 2
    return first * side / scaled, min(side, (first + size) * side / scaled)


def _undecodable(detail: str, fix: str) -> Unreadable:
    return Unreadable("image_undecodable", detail, fix)

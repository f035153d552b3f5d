"""Pictures from files to pixels: JPEG, PNG, WEBP and the first frame of a GIF. Needs numpy and Pillow only."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

MOST_PIXELS = 50_000_000  # of a file; decoded they take 150 MB, and no camera of a telephone makes more
MOST_SIDE = 16_384  # pixels; beyond, the pixel count alone would let a line a million wide through
LEAST_SIDE = 8  # pixels; of less nothing can be seen
WHITE: Final = (255, 255, 255, 255)

# What a file begins with decides which reader sees it: Pillow has dozens, each a surface of its own.
BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)
FIX = "send a JPEG, PNG, WEBP or GIF file"


class Unreadable(ValueError):
    """A file that is no picture which can be read; `code` is one of the interface's."""

    def __init__(self, code: str, detail: str, fix: str = FIX) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fix = fix


@dataclass(frozen=True, slots=True)
class View:
    """What a network sees of a picture: the short side becomes `size / crop`, then the middle square is cut."""

    size: int
    crop: float
    resample: Literal["bicubic", "bilinear"]


def read_image(data: bytes, view: View) -> NDArray[np.uint8]:
    """(size, size, 3), RGB, upright. Colour profiles are not applied. Raises Unreadable."""
    return read_with_size(data, view)[0]


def read_with_size(data: bytes, view: View) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The same, and the picture's own width and height as it is seen."""
    kind = sniff(data)
    if kind is None:
        raise Unreadable("image_undecodable", "the file begins like no JPEG, PNG, WEBP or GIF")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is refused or of no account here
        try:
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                _check_size(*image.size)
                upright = _upright(image, kind)
        except Unreadable:
            raise
        except Exception as error:  # Pillow's readers raise whatever their bytes led them to
            raise Unreadable("image_undecodable", f"the {kind} cannot be read: it is cut short or broken") from error
    return _seen(upright, view), upright.size


def sniff(data: bytes) -> str | None:
    """Pillow's name of the format, by the file's first bytes; None for what is not read."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for beginning, kind in BEGINNINGS if data.startswith(beginning)), None)


def _check_size(width: int, height: int) -> None:
    """By the header, before anything is decoded."""
    if min(width, height) < LEAST_SIDE:
        raise Unreadable(
            "image_too_small",
            f"the picture has {width} x {height} pixels, at least {LEAST_SIDE} a side are needed",
            "send a larger one",
        )
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise Unreadable(
            "image_too_large",
            f"the picture has {width} x {height} pixels, at most {MOST_PIXELS:,} and {MOST_SIDE:,} a side are read",
            "send a smaller one",
        )


def _upright(image: ImageFile.ImageFile, kind: str) -> Image.Image:
    """RGB, turned as its EXIF says, transparency over white."""
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        turned = _from_deep(turned)
    if kind == "JPEG" and turned.mode == "CMYK":
        # Whoever writes CMYK in JPEG does so inverted, as Adobe began to; Pillow has turned it back where marked so.
        return turned.convert("RGB")
    if turned.mode in ("LA", "PA", "La", "RGBa") or "transparency" in turned.info:
        turned = turned.convert("RGBA")
    if turned.mode == "RGBA":
        return Image.alpha_composite(Image.new("RGBA", turned.size, WHITE), turned).convert("RGB")
    return turned.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16 bits a pixel to 8: Pillow's own conversion cuts all above 255 off."""
    values = np.asarray(image, dtype=np.float32)
    return Image.fromarray((values / 257.0).round().clip(0, 255).astype(np.uint8))


def _seen(image: Image.Image, view: View) -> NDArray[np.uint8]:
    size, resample = view.size, Image.Resampling[view.resample.upper()]
    scale = round(size / view.crop) / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    # Of a long picture only what will be cut is scaled.
    left, top = (width - size) / 2 / scale, (height - size) / 2 / scale
    part = image.resize(
        (size, size),
        resample,
        box=(left, top, min(left + size / scale, image.width), min(top + size / scale, image.height)),
    )
    return np.array(part, dtype=np.uint8)

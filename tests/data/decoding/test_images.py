from __future__ import annotations

import ctypes
import gc
import struct
import tracemalloc
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.data.decoding import pictures
from tests.data.decoding.pictures import chunk, photo, png, rows, saved
from tsugiki.data.decoding import images
from tsugiki.data.decoding.images import Unreadable, View, read_image

VIEW = View(96, 0.875, "bicubic")
EXPECTED = read_image(saved(photo(), "PNG"), VIEW)
GOOD = pictures.good()
KINDS = ["JPEG", "PNG", "WEBP", "GIF"]


def refused(data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_image(data, VIEW)
    assert caught.value.detail
    assert caught.value.fix
    return caught.value


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean over pixels, of 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def on_white(image: Image.Image) -> NDArray[np.uint8]:
    """What is expected of transparency, by another way than the reader's."""
    pixels = np.asarray(image.convert("RGBA")).astype(float)
    alpha = pixels[..., 3:] / 255
    flat = np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return read_image(saved(Image.fromarray(flat), "PNG"), VIEW)


class TestView:
    @pytest.mark.parametrize("size", [(160, 120), (121, 377), (500, 333), (97, 96), (30, 40), (1024, 1023)])
    @pytest.mark.parametrize("crop", [0.875, 0.9, 1.0])
    @pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
    def test_is_the_short_side_resized_and_the_middle_cut_out(
        self, size: tuple[int, int], crop: float, resample: Literal["bicubic", "bilinear"]
    ) -> None:
        image = photo(*size)
        factor = 96 / crop / min(size)
        width, height = (round(side * factor) for side in size)
        filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
        resized = image.resize((width, height), filters[resample])
        left, top = (width - 96) // 2, (height - 96) // 2
        expected = np.asarray(resized.crop((left, top, left + 96, top + 96)))
        found = read_image(saved(image, "PNG"), View(96, crop, resample))
        assert (found.shape, found.dtype) == ((96, 96, 3), np.uint8)
        assert np.abs(found.astype(int) - expected).max() <= 2  # of each of two passes, the last digit
        assert distance(found, expected) < 0.05

    @pytest.mark.parametrize("size", [(8, 16_384), (16_384, 8)])
    def test_of_a_long_strip_needs_no_more_memory_than_of_a_square(self, size: tuple[int, int]) -> None:
        found = read_image(saved(Image.new("RGB", size, "red"), "PNG"), View(1024, 0.5, "bicubic"))
        assert (found == [255, 0, 0]).all()

    def test_of_a_large_jpeg_is_that_of_its_pixels_within_what_resampling_changes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = saved(photo(1600, 1200), "JPEG")
        drafted = read_image(data, VIEW)
        monkeypatch.setattr(images, "DRAFT_GAP", 1000)
        whole = read_image(data, VIEW)
        assert distance(drafted, whole) < 0.5
        assert (drafted != whole).any(), "nothing was drafted, so that the test says nothing"


class TestEveryKind:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_told_by_its_bytes_and_read(self, kind: str) -> None:
        assert distance(read_image(saved(photo(), kind), VIEW), EXPECTED) < 8

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
    def test_animated_gives_its_first_frame(self, kind: str) -> None:
        options = {"lossless": True} if kind == "WEBP" else {}
        assert distance(read_image(pictures.animated(kind, **options), VIEW), EXPECTED) < 8

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("tail", [b"\0" * 5, b"trailing \xff\xd8\xff\xe0 bytes", pictures.zipped()])
    def test_with_something_behind_it_is_the_same_picture(self, kind: str, tail: bytes) -> None:
        data = saved(photo(), kind)
        assert (read_image(data + tail, VIEW) == read_image(data, VIEW)).all()

    @pytest.mark.parametrize("name", GOOD)
    @pytest.mark.parametrize("tenth", range(10))
    def test_cut_off_is_refused(self, name: str, tenth: int) -> None:
        data = GOOD[name]
        cut = data[: len(data) * tenth // 10]
        if name == "gif-animated" and tenth > 3:  # of three frames, the first is whole
            assert (read_image(cut, VIEW) == read_image(data, VIEW)).all()
        else:
            assert refused(cut).code == ("image_undecodable" if cut else "input_empty")


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_gives_the_same_pixels_held_any_way(self, orientation: int, kind: str) -> None:
        options = {"lossless": True} if kind == "WEBP" else {}
        assert (read_image(pictures.turned(photo(), orientation, kind, **options), VIEW) == EXPECTED).all()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_of_a_jpeg_differs_by_its_compression_only(self, orientation: int) -> None:
        data = pictures.turned(photo(), orientation, "JPEG", quality=95, subsampling=0)
        assert distance(read_image(data, VIEW), EXPECTED) < 2

    def test_is_what_makes_them_equal(self) -> None:
        stored = photo().transpose(Image.Transpose.ROTATE_90)
        assert distance(read_image(saved(stored, "PNG"), VIEW), EXPECTED) > 20

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_is_read_in_both_byte_orders(self, order: str) -> None:
        start = b"II*\0" if order == "<" else b"MM\0*"
        tiff = start + struct.pack(order + "IHHHIHH", 8, 1, 0x0112, 3, 1, 3, 0)
        data = saved(photo().transpose(Image.Transpose.ROTATE_180), "PNG", exif=b"Exif\0\0" + tiff)
        assert (read_image(data, VIEW) == EXPECTED).all()

    @pytest.mark.parametrize("value", [0, 9, 65_535])
    def test_that_does_not_exist_is_passed_over(self, value: int) -> None:
        assert (read_image(saved(photo(), "PNG", exif=pictures.exif(value)), VIEW) == EXPECTED).all()

    @pytest.mark.parametrize("length", range(0, 30, 3))
    def test_in_damaged_exif_is_passed_over(self, length: int) -> None:
        data = saved(photo(), "PNG", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\xff\xff" + b"\x99" * length)
        assert (read_image(data, VIEW) == EXPECTED).all()


class TestColours:
    def test_cmyk_is_rgb(self) -> None:
        data = saved(photo().convert("CMYK"), "JPEG", quality=95)
        assert b"Adobe" in data
        assert distance(read_image(data, VIEW), EXPECTED) < 3

    def test_cmyk_of_adobe_by_ycck_is_rgb(self) -> None:
        """The same bytes said to be YCCK: neutral colours stay, so that only the inversion decides."""
        grey = Image.new("CMYK", (64, 64), (0, 0, 0, 55))
        data = saved(grey, "JPEG", quality=100)
        place = data.index(b"Adobe")
        found = read_image(data[: place + 11] + b"\x02" + data[place + 12 :], VIEW)
        assert read_image(data, VIEW)[0, 0].tolist() == [200, 200, 200]
        assert found[..., 1].max() < 200, "the transform was not read"

    def test_16_bit_grey_is_scaled_and_not_clipped(self) -> None:
        ramp = np.linspace(0, 65_535, 128 * 128).reshape(128, 128)
        deep = png(128, 128, 16, 0, rows(ramp.astype(">u2")))
        flat = png(128, 128, 8, 0, rows((ramp.astype(int) >> 8).astype(np.uint8)))
        found = read_image(deep, VIEW)
        assert (found == read_image(flat, VIEW)).all()
        assert (found.min() < 20, found.max() > 235) == (True, True)
        assert len(np.unique(found)) > 100

    def test_16_bit_grey_is_as_16_bit_rgb_of_the_same_values(self) -> None:
        ramp = np.linspace(0, 65_535, 128 * 128).reshape(128, 128).astype(">u2")
        deep = png(128, 128, 16, 2, rows(np.repeat(ramp[..., None], 3, axis=2)))
        assert (read_image(deep, VIEW) == read_image(png(128, 128, 16, 0, rows(ramp)), VIEW)).all()

    def test_palette_is_its_colours(self) -> None:
        image = photo().convert("P", palette=Image.Palette.ADAPTIVE)
        assert (read_image(saved(image, "PNG"), VIEW) == read_image(saved(image.convert("RGB"), "PNG"), VIEW)).all()

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette_with_a_transparent_colour_lies_on_white(self, kind: str) -> None:
        image = photo().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
        found = read_image(saved(image, kind, transparency=2), VIEW)
        assert distance(found, read_image(saved(image, kind), VIEW)) > 2
        image.info["transparency"] = 2
        assert distance(found, on_white(image)) < 0.1

    def test_palette_with_alphas_lies_on_white(self) -> None:
        image = photo().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
        alphas = bytes(range(0, 256, 36))
        data = saved(image, "PNG", transparency=alphas)
        image.info["transparency"] = alphas
        assert distance(read_image(data, VIEW), on_white(image)) < 0.5

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_alpha_lies_on_white(self, mode: str, kind: str) -> None:
        image = photo().convert(mode[:-1])
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        assert distance(read_image(saved(image, kind, **options), VIEW), on_white(image)) < 0.5

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_grey_of_every_depth_has_its_transparent_value_on_white(self, depth: int) -> None:
        most = (1 << depth) - 1
        halves = np.repeat([[0, most]], 32, axis=1).repeat(64, axis=0)  # the left half dark, the right bright
        packed = np.array([list(_packed(row, depth)) for row in halves], np.uint8)
        dark = png(64, 64, depth, 0, rows(packed))
        clear = png(64, 64, depth, 0, rows(packed), chunk(b"tRNS", struct.pack(">H", 0)))
        bright = png(64, 64, depth, 0, rows(packed), chunk(b"tRNS", struct.pack(">H", most)))
        assert read_image(dark, VIEW).min() == 0
        assert read_image(clear, VIEW).min() == 255
        assert (read_image(bright, VIEW) == read_image(dark, VIEW)).all()

    @pytest.mark.parametrize(("depth", "key"), [(8, (10, 20, 30)), (16, (2560, 5120, 7680))])
    def test_rgb_has_its_transparent_colour_on_white(self, depth: int, key: tuple[int, int, int]) -> None:
        pixels = np.broadcast_to(np.array(key, ">u2" if depth == 16 else "u1"), (16, 16, 3))
        data = png(16, 16, depth, 2, rows(pixels), chunk(b"tRNS", struct.pack(">HHH", *key)))
        assert (read_image(data, VIEW) == 255).all()
        assert (read_image(png(16, 16, depth, 2, rows(pixels)), VIEW) == [10, 20, 30]).all()

    def test_one_bit_is_black_and_white(self) -> None:
        image = photo().convert("1")
        assert (read_image(saved(image, "PNG"), VIEW) == read_image(saved(image.convert("RGB"), "PNG"), VIEW)).all()

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_of_a_profile_are_not_changed(self, kind: str) -> None:
        with_profile = saved(photo(), kind, icc_profile=b"not a profile at all" * 5000)
        assert (read_image(with_profile, VIEW) == read_image(saved(photo(), kind), VIEW)).all()


def _packed(values: NDArray[np.int64], depth: int) -> bytes:
    if depth == 16:
        return values.astype(">u2").tobytes()
    bits = (values[:, None] >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.reshape(-1)).tobytes()


OTHERS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>',
    "pdf": b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\n" + saved(photo(), "JPEG"),
    "tiff": saved(photo(), "TIFF"),
    "bmp": saved(photo(), "BMP"),
    "ico": saved(photo(64, 64), "ICO"),
    "ppm": saved(photo(), "PPM"),
    "eps": saved(photo(), "EPS"),
    "avif": b"\0\0\0\x1cftypavif" + bytes(100),
    "zip": pictures.zipped() + saved(photo(), "JPEG"),
    "text": b"data:image/jpeg;base64,/9j/4AAQ",
    "url": b"https://example.org/a.jpg",
    "jpeg start, tiff": b"\xff\xd8\xff\xe0" + saved(photo(), "TIFF"),
    "png start, svg": pictures.PNG_START + b"<svg/>",
    "webp start, wav": b"RIFF\x24\0\0\0WEBPfmt " + bytes(40),
    "gif start": b"GIF89a" + bytes(40),
}
BOMBS = {
    "png, claimed": pictures.claiming(60_000, 60_000),
    "png, the most to claim": pictures.claiming(2**31 - 1, 2**31 - 1),
    "png, a side": pictures.claiming(16_385, 8),
    "png, whole": pictures.blank(20_000, 20_000),
    "png, whole, of allowed sides": pictures.blank(16_000, 16_000),
    "gif": pictures.gif(65_535, 65_535, (0, 0, 65_535, 65_535)),
    "gif, frame": pictures.gif(64, 64, (0, 0, 10_000, 10_000)),  # Pillow would warn, and read on
    "gif, place of the frame": pictures.gif(64, 64, (65_535, 65_535, 64, 64)),
    "webp, extended": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2,
    "webp": b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" + b"\xff\x3f\xff\x3f",
    "webp, lossless": b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\xff" + bytes(5),
}


class TestRefused:
    @pytest.mark.parametrize("name", OTHERS)
    def test_is_what_only_poses_as_one_of_the_kinds(self, name: str) -> None:
        assert refused(OTHERS[name]).code in ("image_undecodable", "image_too_small")

    def test_is_nothing_at_all(self) -> None:
        assert refused(b"").code == "input_empty"

    @pytest.mark.parametrize("size", [(0, 0), (0, 64), (64, 0)])
    def test_is_a_size_of_nothing(self, size: tuple[int, int]) -> None:
        assert refused(pictures.claiming(*size)).code in ("image_undecodable", "image_too_small")
        jpeg = bytearray(saved(photo(), "JPEG"))
        place = jpeg.index(b"\xff\xc0") + 5
        jpeg[place : place + 4] = struct.pack(">HH", size[1], size[0])
        assert refused(bytes(jpeg)).code in ("image_undecodable", "image_too_small")

    @pytest.mark.parametrize("kind", KINDS)
    def test_is_a_side_of_less_than_8_pixels(self, kind: str) -> None:
        assert refused(saved(photo(7, 100), kind)).code == "image_too_small"
        assert read_image(saved(photo(8, 8), kind), VIEW).shape == (96, 96, 3)

    @pytest.mark.parametrize("name", BOMBS)
    def test_is_a_pixel_bomb_before_memory_is_taken_for_it(self, name: str) -> None:
        data = BOMBS[name]
        assert peak(data) < 64 << 20
        assert refused(data).code == "image_too_large"

    def test_is_a_bomb_by_the_limit_and_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bomb = pictures.blank(8_000, 8_000)
        assert refused(bomb).code == "image_too_large"
        monkeypatch.setattr(images, "MOST_PIXELS", 8_000 * 8_000)
        assert peak(bomb) > 256 << 20

    def test_is_a_jpeg_of_very_many_scans(self) -> None:
        assert "scans" in refused(pictures.many_scans(300)).detail
        assert distance(read_image(pictures.many_scans(100), VIEW), EXPECTED) < 6

    def test_is_a_jpeg_of_very_many_parts(self) -> None:
        data = saved(photo(), "JPEG")
        assert "parts" in refused(data[:2] + b"\xff\xfe\0\x02" * 100_000 + data[2:]).detail

    def test_is_a_png_whose_pixels_were_changed(self) -> None:
        data = bytearray(saved(photo(), "PNG"))
        data[len(data) // 2] ^= 1
        assert refused(bytes(data)).code == "image_undecodable"

    def test_says_nothing_of_the_bytes(self) -> None:
        data = png(64, 64, 8, 0, bytes(10), chunk(b"tRNS", b"s")).replace(b"IEND", b"SECR")
        assert "SECR" not in refused(data).detail


def test_texts_of_a_png_are_not_unpacked() -> None:
    tracemalloc.start()
    read_image(pictures.text_bomb(), VIEW)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16 << 20


def test_a_lack_of_memory_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(image: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(images, "_rgb", short)
    with pytest.raises(MemoryError):
        read_image(saved(photo(), "PNG"), VIEW)


@given(st.binary(max_size=400), st.sampled_from([b"", *images.STARTS.values(), b"RIFF\xff\0\0\0WEBPVP8X"]))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused(data: bytes, start: bytes) -> None:
    assert refused(start + data).code


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_mutated_file_is_read_or_refused(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(list(GOOD.values()))))
    edits = st.lists(st.tuples(st.integers(0, len(file) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    for place, value in data.draw(edits):
        file[place] = value
    cut = data.draw(st.integers(len(file) // 2, len(file)))
    try:
        found = read_image(bytes(file[:cut]), VIEW)
    except Unreadable as error:
        assert error.code.startswith("image_")
    else:
        assert (found.shape, found.dtype) == ((96, 96, 3), np.uint8)


def peak(data: bytes) -> int:
    """Bytes that reading takes at most besides what is resident before."""
    # What earlier tests left free in the heap would be used again, and not be seen.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    try:
        read_image(data, VIEW)
    except Unreadable:
        pass
    return resident("VmHWM") - before


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# soundfile ships no types.

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tsugiki.data.decoding import sounds
from tsugiki.data.decoding.sounds import Unreadable, read_sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
KINDS = [  # format, subtype, how far a sample may be off after it: rounding, or what the codec drops
    ("WAV", "PCM_U8", 0.02),
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "FLOAT", 1e-7),
    ("WAV", "DOUBLE", 1e-7),
    ("WAV", "ULAW", 0.05),
    ("WAV", "IMA_ADPCM", 0.1),
    ("WAVEX", "PCM_16", 1e-4),
    ("FLAC", "PCM_16", 1e-4),
    ("OGG", "VORBIS", 0.1),
    ("OGG", "OPUS", 0.1),
    ("MP3", "MPEG_LAYER_III", 0.1),
]


def tone(rate: int = RATE, seconds: float = 0.5, hertz: float = 300.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz / rate * np.arange(round(seconds * rate)))).astype(np.float32)


def written(samples: NDArray[np.float32], rate: int = RATE, form: str = "WAV", subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def wav(
    data: bytes = bytes(range(256)) * 40,
    *,
    code: int = 1,
    channels: int = 1,
    rate: int = RATE,
    frame_bytes: int | None = None,
    bits: int = 16,
    says: int | None = None,
    after: bytes = b"",
) -> bytes:
    """A WAV file whose header may say anything."""
    frame_bytes = channels * bits // 8 if frame_bytes is None else frame_bytes
    form = struct.pack("<HHIIHH", code, channels, rate, (rate * frame_bytes) % 2**32, frame_bytes, bits)
    says = len(data) if says is None else says
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", says) + data + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac(says: int) -> bytes:
    """Half a second; the header says so many samples (36 bits from the middle of byte 21), 0 for not known."""
    file = bytearray(written(tone(), form="FLAC"))
    file[21] = file[21] & 0xF0 | says >> 32
    file[22:26] = struct.pack(">I", says % 2**32)
    return bytes(file)


def refusal(data: bytes, most_seconds: float = 30) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_sound(data, RATE, most_seconds)
    assert caught.value.detail and caught.value.fix
    return caught.value


@pytest.mark.parametrize(("form", "subtype", "off"), KINDS)
def test_each_format_gives_back_what_was_written(form: str, subtype: str, off: float) -> None:
    found = read_sound(written(tone(), form=form, subtype=subtype), RATE, 30)
    assert found.dtype == np.float32 and found.ndim == 1
    np.testing.assert_allclose(found[1000:7000], tone()[1000:7000], atol=off)  # codecs ring at the ends


@pytest.mark.parametrize("rate", [1_000, 8_000, 11_025, 44_100, 48_000, 384_000])
def test_any_rate_becomes_the_one_asked_for(rate: int) -> None:
    found = read_sound(written(tone(rate, seconds=1), rate, subtype="FLOAT"), RATE, 30)
    assert len(found) == RATE
    np.testing.assert_allclose(found[4000:12000], tone(seconds=1)[4000:12000], atol=1e-3)


def test_a_tone_above_half_the_rate_is_filtered_not_folded() -> None:
    loud = np.concatenate([tone(48_000, hertz=300), tone(48_000, hertz=11_000)])
    found = read_sound(written(loud, 48_000), RATE, 30)
    assert np.abs(found[:8000]).max() > 0.4
    assert np.abs(found[8500:15500]).max() < 1e-3


@pytest.mark.parametrize("channels", [2, 6, 255])
def test_channels_are_averaged(channels: int) -> None:
    turned = np.stack([tone() * (place + 1) / channels for place in range(channels)], axis=1)
    found = read_sound(written(turned.astype(np.float32), subtype="FLOAT"), RATE, 30)
    np.testing.assert_allclose(found, tone() * (channels + 1) / 2 / channels, atol=1e-5)


@pytest.mark.parametrize(("form", "subtype", "_"), KINDS)
def test_blocks_do_not_change_the_samples(form: str, subtype: str, _: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seek between blocks, which soundfile makes if it may, lets an MP3 decode to something else."""
    file = written(np.stack([tone(48_000), -0.3 * tone(48_000, hertz=700)], axis=1), 48_000, form, subtype)
    whole = read_sound(file, RATE, 30)
    monkeypatch.setattr(sounds, "BLOCK_SAMPLES", 2_000)
    np.testing.assert_array_equal(read_sound(file, RATE, 30), whole)


def test_memory_follows_the_block_not_the_channels() -> None:
    data = wav(b"\x10\x20" * 255 * 60_000, channels=255, rate=384_000)  # 61 MB as floats
    tracemalloc.start()
    try:
        found = read_sound(data, RATE, 30)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 60_000 * RATE // 384_000
    assert peak < 6 * 4 * sounds.BLOCK_SAMPLES


def test_longer_than_allowed_is_told_from_the_header() -> None:
    assert len(read_sound(written(tone(seconds=1)), RATE, 1)) == RATE
    found = refusal(written(tone(seconds=1.5)), most_seconds=1)
    assert found.code == "audio_too_long" and "1.50 s" in found.detail


def test_a_stream_of_unknown_length_is_read_until_the_limit() -> None:
    np.testing.assert_array_equal(read_sound(flac(0), RATE, 1), read_sound(flac(8000), RATE, 1))
    assert refusal(flac(0), most_seconds=0.4).code == "audio_too_long"
    streamed = wav(says=2**32 - 1)
    np.testing.assert_array_equal(read_sound(streamed, RATE, 1), read_sound(wav(), RATE, 1))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (wav(rate=0), ""),
        (wav(rate=2**31), ""),
        (wav(rate=2**31 - 1), "samples a second"),
        (wav(rate=999), "samples a second"),
        (wav(rate=384_001), "samples a second"),
        (wav(channels=0), ""),
        (wav(channels=256), "channels"),
        (wav(channels=65_535, frame_bytes=2), "bytes for"),
        (wav(frame_bytes=0), "bytes for"),
        (wav(frame_bytes=7), "bytes for"),
        (wav(code=2, bits=4, frame_bytes=0), ""),
        (wav(bits=0), ""),
        (wav(says=2**31), "follow"),
        (wav(says=20_000), "follow"),
        (wav(says=0), "wrong about where"),
        (wav(says=1_001), "wrong about where"),
        (wav(after=b"LIST" + struct.pack("<I", 99)), "a part"),
        (wav()[:36], "no samples"),
        (wav()[:30], ""),
        (flac(9000), ""),
        (flac(8000)[:600], ""),
        (wav(np.full(1000, np.nan, "<f4").tobytes(), code=3, bits=32), "no numbers"),
        (wav(np.r_[np.zeros(999), np.inf].astype("<f4").tobytes(), code=3, bits=32), "no numbers"),
        (wav(np.full(1000, 1e300, "<f8").tobytes(), code=3, bits=64), "no numbers"),
        (wav(np.full(1000, -1e9, "<f4").tobytes(), code=3, bits=32), "no numbers"),
        (wav(bytes(range(200))), "6.2 ms"),
        (wav(b""), "0.0 ms"),
        (b"\xff\xfb", ""),
        (b"ID3", ""),
        (b"%PDF-1.7 and more", "not those of"),
        (b"https://example.org/clip.wav", "not those of"),
        (written(tone(), form="AIFF"), "not those of"),
        (written(tone(), form="AU"), "not those of"),
        (written(tone(), form="RF64"), "not those of"),
        (b"ID3\x04\0\0\0\0\0\0" + written(tone(), form="AIFF"), ""),
    ],
)
def test_what_cannot_be_decoded_is_refused(data: bytes, word: str) -> None:
    found = refusal(data)
    assert found.code == "audio_undecodable"
    assert word in found.detail


def test_empty_and_silent_files_have_codes_of_their_own() -> None:
    assert refusal(b"").code == "input_empty"
    assert refusal(wav(bytes(20_000))).code == "audio_silent"
    ultrasound = tone(48_000, hertz=20_000) * np.hanning(
        24_000
    )  # nothing of it is left at 16 kHz; no click at the ends
    assert refusal(written(ultrasound.astype(np.float32), 48_000)).code == "audio_silent"


def test_chunks_around_the_samples_are_no_trouble() -> None:
    note = b"LIST" + struct.pack("<I", 4) + b"note"
    np.testing.assert_array_equal(read_sound(wav(after=note), RATE, 30), read_sound(wav(), RATE, 30))
    np.testing.assert_array_equal(read_sound(wav() + bytes(500), RATE, 30), read_sound(wav(), RATE, 30))


@pytest.mark.parametrize(("form", "subtype", "_"), KINDS)
def test_a_truncated_file_is_refused_or_is_a_shorter_sound(form: str, subtype: str, _: float) -> None:
    file = written(tone(seconds=2), form=form, subtype=subtype)
    whole = len(read_sound(file, RATE, 30))
    for tenth in range(1, 10):
        cut = file[: len(file) * tenth // 10]
        if form in ("MP3", "OGG"):
            try:
                assert len(read_sound(cut, RATE, 30)) < whole
            except Unreadable as error:
                assert error.code == "audio_undecodable"
        else:
            assert refusal(cut).code == "audio_undecodable"


SEEDS = [written(tone(seconds=0.1), form=form, subtype=subtype) for form, subtype, _ in KINDS]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8),
    st.integers(0, 5000),
)
def test_damaged_files_are_refused_or_read_and_nothing_else(
    seed: bytes, damage: list[tuple[int, int]], length: int
) -> None:
    file = bytearray(seed)
    for place, value in damage:
        file[place % len(file)] = value
    try:
        found = read_sound(bytes(file[:length] if length < 1000 else file), RATE, 1)
    except Unreadable:
        return
    assert np.isfinite(found).all() and 320 <= len(found) <= RATE


def test_the_module_runs_where_nothing_of_ours_is(tmp_path: Path) -> None:
    """It is copied into exports."""
    import subprocess
    import sys

    copy = tmp_path / "sounds.py"
    copy.write_bytes(Path(sounds.__file__).read_bytes())
    (tmp_path / "clip.wav").write_bytes(written(tone()))
    code = "import sounds; print(len(sounds.read_sound(open('clip.wav', 'rb').read(), 16000, 1)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={}, capture_output=True, check=True)
    assert found.stdout.strip() == b"8000"

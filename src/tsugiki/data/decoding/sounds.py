"""A sound file's bytes to samples: the one function that training, serving and every export decode with.

Imports numpy and the decoding libraries only, because this file is copied into exports as it is.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false
# soundfile ships no types, soxr few.

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from typing import cast

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

FORMATS = frozenset(
    {"WAV", "WAVEX", "FLAC", "OGG", "MP3"}
)  # of libsndfile's many parsers, those that are let near input
LEAST_RATE, MOST_RATE = 1_000, 384_000  # Hz; below is no sound worth the name, above no converter records
MOST_CHANNELS = 255  # what OGG and FLAC can say; a WAV header could claim 65535
LEAST_SECONDS = 0.02  # one position of the networks that read sounds
SILENT = 1e-4  # peak: three steps of a 16-bit sample, below any microphone's own noise
LOUDEST = 2.0**15  # integers stored as floats, the largest convention there is; beyond it squares overflow later
BLOCK_SAMPLES = 2**20  # 4 MB of float32 over all channels: what is decoded at once
PAST_FRAMES = 4_096  # read at a time where the header says there are none: libsndfile clears what it does not fill
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a stream that does not tell its length
UNKNOWN_BYTES = 2**32 - 1  # a WAV's, written by programs that could not go back to its header
LENGTH_KNOWN = frozenset({"WAV", "WAVEX", "FLAC"})  # of MP3 it may be an estimate, of OGG it is what was found

WAV_HEADER, CHUNK, FMT = 12, struct.Struct("<4sI"), struct.Struct("<HHIIHH")
PCM, FLOAT = 1, 3  # WAV codes whose frames are samples side by side

FIX_FORMAT = "send a WAV, FLAC, OGG or MP3 file"
FIX_WHOLE = "send the whole file as it was recorded"


class Unreadable(ValueError):
    """One sound cannot be used. `code` is the API's: `input_empty`, `audio_undecodable`, `audio_too_long`,
    `audio_silent`; `detail` says what was found and never quotes the bytes; `fix` what to do.
    """

    def __init__(self, code: str, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fix = fix


def read_sound(data: bytes, rate: int, most_seconds: float) -> NDArray[np.float32]:
    """Mono samples (n,) float32 at `rate` Hz, nearly always in [-1, 1]: the mean of the channels, resampled.

    WAV, FLAC, OGG and MP3, told by their bytes. Memory is bounded by `most_seconds`, whatever headers claim. An MP3 or
    OGG that was cut short is a shorter sound; a WAV or FLAC that ends before its header says is refused.

    Raises Unreadable.
    """
    _check_type(data)
    try:
        with _Forward(io.BytesIO(data)) as file:
            _check_shape(file, most_seconds)
            samples = _resampled(file, rate, most_seconds)
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", "no reason is known")).rstrip(".\n")
        raise _undecodable(f"the file cannot be decoded: {reason}", FIX_FORMAT) from error
    _check_samples(samples, rate)
    return samples


class _Forward(soundfile.SoundFile):
    """Read from beginning to end only.

    Of files that can seek, soundfile seeks to its place after each read: an MP3 decodes to other samples from there,
    and a FLAC that does not tell its length fails.
    """

    def seekable(self) -> bool:
        return False


def _check_type(data: bytes) -> None:
    if not data:
        raise Unreadable("input_empty", "the file is empty", FIX_FORMAT)
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _check_wav(data)
    elif data[:4] not in {b"fLaC", b"OggS"} and not _looks_like_mp3(data):
        raise _undecodable("the bytes are not those of a WAV, FLAC, OGG or MP3 file", FIX_FORMAT)


def _looks_like_mp3(data: bytes) -> bool:
    """Tags, or a frame's eleven set bits, a version that exists and layer III."""
    if data[:3] == b"ID3":
        return True
    return len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x18 != 0x08 and data[1] & 6 == 2


def _check_wav(data: bytes) -> None:
    """The header must agree with itself and with the file: libsndfile passes over what does not."""
    found = False
    for name, start, size in _chunks(data):
        if name == b"fmt ":
            _check_frame_size(data[start : start + size])
        found = found or name == b"data"
    if not found:
        raise _undecodable("the WAV file has no samples in it", FIX_WHOLE)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, size) of each. Chunks lie side by side up to the end that the header says, or the file's."""
    end = len(data)
    said = WAV_HEADER - 4 + struct.unpack_from("<I", data, 4)[0]
    place, sampled = WAV_HEADER, False
    while place + CHUNK.size <= end:
        name, size = cast("tuple[bytes, int]", CHUNK.unpack_from(data, place))
        place += CHUNK.size
        if name == b"data" and size == UNKNOWN_BYTES:
            yield name, place, end - place
            return
        if not all(32 <= letter < 127 for letter in name):
            raise _undecodable("the WAV header is wrong about where its samples end", FIX_WHOLE)
        if place + size > end:
            what = "the samples" if name == b"data" else "a part"
            raise _undecodable(
                f"the WAV header says that {what} fill {size:,} bytes, and {end - place:,} follow", FIX_WHOLE
            )
        yield name, place, size
        place += size + size % 2
        sampled = sampled or name == b"data"
        if sampled and place >= said:
            return  # what follows is no part of the sound


def _check_frame_size(fmt: bytes) -> None:
    if len(fmt) < FMT.size:
        raise _undecodable("the WAV header is cut short", FIX_WHOLE)
    code, channels, _, _, frame_bytes, bits = FMT.unpack_from(fmt)
    if code in (PCM, FLOAT) and frame_bytes != channels * -(-bits // 8):
        raise _undecodable(
            f"the WAV header says {frame_bytes} bytes for {channels} samples of {bits} bits", "write the file anew"
        )


def _check_shape(file: soundfile.SoundFile, most_seconds: float) -> None:
    """What the header says, before anything is decoded."""
    if file.format not in FORMATS:
        raise _undecodable("the bytes are not those of a WAV, FLAC, OGG or MP3 file", FIX_FORMAT)
    if not LEAST_RATE <= file.samplerate <= MOST_RATE:
        detail = f"the file has {file.samplerate:,} samples a second, {LEAST_RATE:,} to {MOST_RATE:,} can be read"
        raise _undecodable(detail, "resample it")
    if not 1 <= file.channels <= MOST_CHANNELS:
        raise _undecodable(f"the file has {file.channels:,} channels, 1 to {MOST_CHANNELS} can be read", "mix it down")
    if file.frames != UNKNOWN_FRAMES and file.frames > most_seconds * file.samplerate:
        raise _too_long(f"is {file.frames / file.samplerate:,.2f} s long", most_seconds)


def _resampled(file: soundfile.SoundFile, rate: int, most_seconds: float) -> NDArray[np.float32]:
    samples = np.concatenate([np.zeros(0, np.float32), *_mono_blocks(file, most_seconds)])
    return samples if file.samplerate == rate else soxr.resample(samples, file.samplerate, rate, "HQ")


def _mono_blocks(file: soundfile.SoundFile, most_seconds: float) -> Iterator[NDArray[np.float32]]:
    """The mean of the channels, (frames,) a block, for at most `most_seconds`."""
    most, seen = math.floor(most_seconds * file.samplerate), 0
    size = max(1, BLOCK_SAMPLES // file.channels)
    while True:
        ahead = min(size, most + 1 - seen, max(PAST_FRAMES, file.frames - seen))
        block = cast("NDArray[np.float32]", file.read(ahead, dtype="float32", always_2d=True))
        seen += len(block)
        if seen > most:
            raise _too_long("is longer than its header says", most_seconds)
        if not len(block):
            break
        if not max(float(block.max()), -float(block.min())) <= LOUDEST:  # so that a NaN is caught too
            raise _undecodable("samples of the file are no numbers, or far beyond 1", "write it as 16-bit samples")
        yield block[:, 0] if file.channels == 1 else block.mean(axis=1, dtype=np.float32)
    if file.format in LENGTH_KNOWN and seen < file.frames != UNKNOWN_FRAMES:
        raise _undecodable(f"the header says {file.frames:,} samples a channel, {seen:,} are there", FIX_WHOLE)


def _check_samples(samples: NDArray[np.float32], rate: int) -> None:
    if len(samples) < LEAST_SECONDS * rate:
        raise _undecodable(
            f"the sound is {1000 * len(samples) / rate:.1f} ms long, at least {1000 * LEAST_SECONDS:.0f} are needed",
            "send a longer one",
        )
    if float(np.abs(samples).max()) < SILENT:
        raise Unreadable("audio_silent", "the sound is silent from end to end", "drop it, or record it anew")


def _undecodable(detail: str, fix: str) -> Unreadable:
    return Unreadable("audio_undecodable", detail, fix)


def _too_long(found: str, most_seconds: float) -> Unreadable:
    detail = f"the sound {found}, at most {most_seconds:g} s can be read"
    return Unreadable("audio_too_long", detail, "send the part that decides the label")

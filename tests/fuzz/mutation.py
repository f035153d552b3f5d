"""Damaged files, without end: bytes changed, parts cut, doubled, moved, and joined with another file's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile

from tests.data.decoding.pictures import good
from tsugiki.data.decoding import RATE

if TYPE_CHECKING:
    from tsugiki.domain import Modality

KINDS = (
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)
HEAD = 200  # bytes, in which most formats say what they are: half of all damage is done there
TELLING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)  # where counts and lengths turn over


class Mutation(NamedTuple):
    kind: str
    modality: Modality
    data: bytes


def seeds() -> list[Mutation]:
    """A good file of each kind."""
    at = np.arange(RATE // 5) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 300.0 * at)).astype(np.float32)
    found = [Mutation(kind, "image", data) for kind, data in good().items()]
    for form, subtype in KINDS:
        file = io.BytesIO()
        soundfile.write(file, tone, RATE, format=form, subtype=subtype)
        found.append(Mutation(f"{form}-{subtype}".lower(), "audio", file.getvalue()))
    return found


def endless(seed: int) -> Iterator[Mutation]:
    """The same for the same seed."""
    random = np.random.default_rng(seed)
    known = seeds()
    while True:
        chosen = known[random.integers(len(known))]
        file = bytearray(chosen.data)
        for _ in range(1 + random.geometric(0.5)):
            WAYS[random.integers(len(WAYS))](file, random, known[random.integers(len(known))].data)
        yield chosen._replace(data=bytes(file))


def _change(file: bytearray, random: np.random.Generator, other: bytes) -> None:
    for _ in range(random.geometric(0.3)):
        if file:
            file[_place(file, random)] = random.choice(TELLING) if random.random() < 0.5 else random.integers(256)


def _cut(file: bytearray, random: np.random.Generator, other: bytes) -> None:
    del file[_place(file, random) :]


def _drop(file: bytearray, random: np.random.Generator, other: bytes) -> None:
    start = _place(file, random)
    del file[start : start + random.geometric(0.05)]


def _double(file: bytearray, random: np.random.Generator, other: bytes) -> None:
    start, target = _place(file, random), _place(file, random)
    file[target:target] = file[start : start + random.geometric(0.02)] * random.integers(1, 20)


def _join(file: bytearray, random: np.random.Generator, other: bytes) -> None:
    start = random.integers(len(other))
    place = _place(file, random)
    file[place:place] = other[start : start + random.geometric(0.01)]


def _place(file: bytearray, random: np.random.Generator) -> int:
    most = len(file) if random.random() < 0.5 else min(HEAD, len(file))
    return int(random.integers(max(1, most)))


WAYS: tuple[Callable[[bytearray, np.random.Generator, bytes], None], ...] = (_change, _cut, _drop, _double, _join)

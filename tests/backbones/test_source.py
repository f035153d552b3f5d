"""A row's length and the positions that attention has of it, for each way to read an input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tsugiki.backbones.hearing import Fbank, Wave
from tsugiki.backbones.source import Source

TEXT = Source("text", Path(), 64, max_tokens=61)
WHISPER = Source("whisper", Path(), 64, network="whisper", modality="audio", seconds=2.0)
WAVE = replace(WHISPER, network="wav2vec2", hearing=Wave(normalise=True, kernels=(10, 3), strides=(5, 2)))


@pytest.mark.parametrize(
    ("source", "length", "positions"), [(TEXT, 7, 7), (WHISPER, 14, 7), (WAVE, 80, 7), (WAVE, 89, 7), (WAVE, 90, 8)]
)
def test_a_row_has_positions(source: Source, length: int, positions: int) -> None:
    assert source.positions(length) == positions
    assert source.length(positions) <= length < source.length(positions + 1)


@pytest.mark.parametrize(("source", "longest"), [(TEXT, 61), (WHISPER, 200), (WAVE, 32_000)])
def test_none_is_longer_than_the_longest(source: Source, longest: int) -> None:
    assert source.longest == longest == source.length(10_000)


def test_rows_of_one_length_have_no_longest() -> None:
    fixed = replace(
        WHISPER, network="spectrogram", hearing=Fbank(frames=98, bins=32, middle=0.0, spread=1.0, tokens=40)
    )
    assert fixed.longest == replace(TEXT, modality="image").longest == 0


def test_only_attention_meets_padding() -> None:
    assert TEXT.attends and not replace(TEXT, network="ngrams").attends

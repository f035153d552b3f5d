# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers leaves much unknown.

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tsugiki.backbones.mel import log_mel

if TYPE_CHECKING:
    from numpy.typing import NDArray

THIRTY_S = 480_000


def clip(samples: int) -> NDArray[np.float32]:
    """A sweep in noise that fades away, so that the end is nowhere near the loudest."""
    random = np.random.default_rng(3)
    time = np.arange(samples) / 16_000
    sweep = np.sin(2 * np.pi * (200 + 3000 * time / time[-1]) * time) + 0.01 * random.standard_normal(samples)
    return (0.3 * sweep * np.linspace(1, 0.01, samples)).astype(np.float32)


def whisper(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3000, 80) of the clip and the silence after it."""
    from transformers import WhisperFeatureExtractor

    found = WhisperFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="np")["input_features"]
    return np.asarray(found[0].T, np.float32)


@pytest.mark.parametrize("samples", [150, 320, 321, 5_000, 16_000, 48_001])
def test_frames_are_whispers(samples: int) -> None:
    found = log_mel(clip(samples))
    assert found.shape == (2 * -(-samples // 320), 80) and found.dtype == np.float32
    np.testing.assert_allclose(found, whisper(clip(samples))[: len(found)], atol=1e-4)


def test_thirty_seconds_fill_the_window() -> None:
    found = log_mel(clip(THIRTY_S))
    assert found.shape == (3_000, 80)
    np.testing.assert_allclose(found[:-1], whisper(clip(THIRTY_S))[:-1], atol=1e-4)


def test_the_range_hangs_from_the_loudest_bin_of_the_clip() -> None:
    """Whisper's hangs from the silence's first frame, if a clip ends with its loudest moment."""
    ends_loud = np.r_[np.full(1_590, 1e-3), np.full(10, 1.0)].astype(np.float32)
    found, theirs = log_mel(ends_loud), whisper(ends_loud)[:10]
    assert np.isclose(found.max() - found.min(), 2)
    assert np.abs(found - theirs).max() > 1e-3, "the one difference that the docstring tells of"


@pytest.mark.parametrize("samples", [1, 2, 100, 200, 201])
def test_a_clip_shorter_than_a_window_has_one_position(samples: int) -> None:
    found = log_mel(clip(1_000)[:samples])
    assert found.shape == (2, 80) and np.isfinite(found).all()


def test_silence_has_the_lowest_value_everywhere() -> None:
    found = log_mel(np.zeros(640, np.float32))
    assert found.shape == (4, 80) and (found == found[0, 0]).all()
    np.testing.assert_allclose(found[0, 0], -1.5, rtol=2e-7)  # a step of float32


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="n > 0"):
        log_mel(np.zeros(0, np.float32))

"""Networks of sounds: what becomes of the samples, by the folder's config.json and preprocessor_config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tsugiki.backbones.folders.files import check_file, read_object, whole
from tsugiki.backbones.hearing import Fbank, Wave
from tsugiki.backbones.mel import SAMPLE_RATE
from tsugiki.backbones.source import CONFIG, PREPROCESSOR, Source, unsupported
from tsugiki.data.decoding import MOST_SECONDS
from tsugiki.domain import Json

ADDED = ("add_adapter", "adapter_attn_dim")  # modules behind or beside wav2vec 2.0's blocks
MEAN, DEVIATION = -4.2677393, 4.5689974  # AST's where its file is silent: of AudioSet


def read_waves(name: str, folder: Path, config: Json) -> Source:
    """wav2vec 2.0. Raises Unavailable as `read_folder` does.

    A middle block hears more of who speaks, and how, than the last, which has begun to spell words: Pasad et al. 2021,
    https://arxiv.org/abs/2107.04734.
    """
    path = folder / CONFIG
    processor = _processor(name, folder, "Wav2Vec2FeatureExtractor")
    if added := [key for key in ADDED if config.get(key)]:
        raise unsupported(name, f"its {CONFIG} has {added[0]}, which is not read")
    kernels, strides = (_numbers(name, config, key) for key in ("conv_kernel", "conv_stride"))
    if len(kernels) != len(strides):
        raise unsupported(name, f"its {CONFIG} has {len(kernels)} conv_kernel and {len(strides)} conv_stride")
    normalise = processor.get("do_normalize", True)
    if not isinstance(normalise, bool):
        raise unsupported(name, f"do_normalize of its {PREPROCESSOR} is {normalise!r}")
    blocks = whole(name, path, config, "num_hidden_layers")
    return Source(
        name=name,
        folder=folder,
        dim=whole(name, path, config, "hidden_size"),
        network="wav2vec2",
        blocks=blocks,
        middle=blocks // 2 if blocks > 1 else None,
        modality="audio",
        hearing=Wave(normalise, kernels, strides),
        seconds=MOST_SECONDS,
    )


def read_spectrograms(name: str, folder: Path, config: Json) -> Source:
    """Audio Spectrogram Transformers. Raises as above."""
    path = folder / CONFIG
    processor = _processor(name, folder, "ASTFeatureExtractor")
    names = ("num_mel_bins", "max_length", "patch_size", "frequency_stride", "time_stride")
    bins, frames, patch, down, across = (whole(name, path, config, key) for key in names)
    for key, ours in (("num_mel_bins", bins), ("max_length", frames)):
        if (theirs := processor.get(key, ours)) != ours:
            raise unsupported(name, f"{key} is {theirs!r} in its {PREPROCESSOR} and {ours} in its {CONFIG}")
    middle, deviation = processor.get("mean", MEAN), processor.get("std", DEVIATION)
    if not isinstance(middle, (int, float)) or not isinstance(deviation, (int, float)) or deviation <= 0:
        raise unsupported(name, f"mean and std of its {PREPROCESSOR} are {middle!r} and {deviation!r}")
    if not processor.get("do_normalize", True):
        middle, deviation = 0.0, 0.5
    places = ((bins - patch) // down + 1) * ((frames - patch) // across + 1)
    return Source(
        name=name,
        folder=folder,
        dim=whole(name, path, config, "hidden_size"),
        network="spectrogram",
        blocks=whole(name, path, config, "num_hidden_layers"),
        pooling="cls",
        modality="audio",
        # It divides by twice the deviation, as its authors do.
        hearing=Fbank(frames, bins, float(middle), 2.0 * deviation, places + 2),
        seconds=MOST_SECONDS,
    )


SOUNDS: Mapping[str, Callable[[str, Path, Json], Source]] = {
    "wav2vec2": read_waves,
    "audio-spectrogram-transformer": read_spectrograms,
}


def _processor(name: str, folder: Path, wanted: str) -> Json:
    check_file(name, folder / PREPROCESSOR, "save the feature extractor beside the weights")
    processor = read_object(name, folder / PREPROCESSOR)
    if (named := processor.get("feature_extractor_type", wanted)) != wanted:
        raise unsupported(name, f"its {PREPROCESSOR} is of {named}; {wanted} is read")
    if (rate := processor.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
        raise unsupported(name, f"it hears {rate!r} samples a second; {SAMPLE_RATE:,} are read")
    return processor


def _numbers(name: str, config: Json, key: str) -> tuple[int, ...]:
    values: Any = config.get(key)  # Any: JSON is untyped until looked at
    match values:
        case [*numbers] if numbers and all(isinstance(number, int) and number > 0 for number in numbers):
            return tuple(int(number) for number in numbers)
        case _:
            raise unsupported(name, f"{key} of its {CONFIG} is {values!r}, not a list of positive whole numbers")

from pathlib import Path

import pytest

from tests.backbones.folders.test_pictures import changed
from tests.folders import write_folder
from tsugiki.backbones import read_folder
from tsugiki.backbones.hearing import Fbank, Wave
from tsugiki.backbones.source import decode, encode
from tsugiki.domain import Json
from tsugiki.errors import Unavailable


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: write_folder(kind, tmp_path_factory.mktemp(kind)) for kind in ("wav2vec2-group", "ast")}


def test_a_sound_is_heard_as_its_extractor_says(written: dict[str, Path]) -> None:
    sources = {kind: read_folder(kind, folder) for kind, folder in written.items()}
    wave, fbank = sources["wav2vec2-group"], sources["ast"]
    assert wave.hearing == Wave(True, (80, 20), (16, 20))
    assert fbank.hearing == Fbank(40, 24, -4.0, 9.0, 3 * 5 + 2)
    assert (wave.pooled, fbank.pooled) == ("wav2vec2: mean+mean of block 1+l2", "spectrogram: cls+l2")
    for source in sources.values():
        assert source.modality == "audio" and decode(encode(source)) == source


@pytest.mark.parametrize(("samples", "positions"), [(400, 1), (719, 1), (720, 2), (16_000, 49), (480_000, 1_499)])
def test_convolutions_yield_as_many_positions_as_fit(samples: int, positions: int) -> None:
    wave = Wave(True, (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    assert wave.positions(samples) == positions
    assert wave.positions(wave.samples(positions)) == positions
    assert wave.positions(wave.samples(positions) - 1) == positions - 1


@pytest.mark.parametrize(
    ("kind", "file", "change", "named"),
    [
        ("wav2vec2-group", "config.json", {"model_type": "wavlm"}, "wavlm.*wav2vec2"),
        ("wav2vec2-group", "config.json", {"add_adapter": True}, "add_adapter"),
        ("wav2vec2-group", "config.json", {"conv_stride": [5]}, "conv_stride"),
        ("wav2vec2-group", "config.json", {"conv_kernel": 10}, "conv_kernel"),
        ("wav2vec2-group", "preprocessor_config.json", {"sampling_rate": 8_000}, "8000"),
        ("wav2vec2-group", "preprocessor_config.json", {"feature_extractor_type": "SeamlessM4T"}, "SeamlessM4T"),
        ("ast", "preprocessor_config.json", {"max_length": 1_024}, "max_length is 1024"),
        ("ast", "preprocessor_config.json", {"std": 0.0}, "std"),
    ],
)
def test_what_would_need_code_or_a_guess_is_refused(
    written: dict[str, Path], tmp_path: Path, kind: str, file: str, change: Json, named: str
) -> None:
    with pytest.raises(Unavailable, match=named) as refused:
        read_folder("mine", changed(written[kind], tmp_path, file, change))
    assert refused.value.reason == "backbone_unsupported"

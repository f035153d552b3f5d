import json
from pathlib import Path

import pytest

from tests.folders import write_folder
from tsugiki.backbones import read_folder
from tsugiki.backbones.source import Levels, decode, encode
from tsugiki.data.decoding.images import View
from tsugiki.domain import Json
from tsugiki.errors import Unavailable


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: write_folder(kind, tmp_path_factory.mktemp(kind)) for kind in ("vit", "deit", "dinov2")}


def changed(folder: Path, tmp_path: Path, file: str, change: Json) -> Path:
    """Without the weights' own bytes, which reading does not look at. None takes a key out."""
    for path in folder.iterdir():
        content: Json = {} if path.suffix != ".json" else json.loads(path.read_text())
        content = content | change if path.name == file else content
        kept = {key: value for key, value in content.items() if value is not None}
        (tmp_path / path.name).write_text(json.dumps(kept))
    return tmp_path


def test_a_picture_is_seen_as_its_processor_says(written: dict[str, Path]) -> None:
    views = {kind: read_folder(kind, folder).view for kind, folder in written.items()}
    assert views == {
        "vit": View(32, 1.0, "bilinear", squash=True),
        "deit": View(32, 32 / 36, "bicubic", squash=True),
        "dinov2": View(42, 42 / 48, "bicubic"),
    }
    source = read_folder("mine", written["deit"])
    assert (source.modality, source.feature_dim, source.widths, source.max_tokens) == ("image", 32, (16, 16), 4 * 4 + 2)
    assert source.pooled == "vit: cls+mean+l2"
    assert decode(encode(source)) == source


@pytest.mark.parametrize(
    ("change", "levels"),
    [
        ({"image_mean": None, "image_std": None}, Levels((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))),
        ({"do_normalize": False}, Levels((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))),
        ({"do_rescale": False}, Levels((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))),
        ({"rescale_factor": 0.5}, Levels((0.8, 1.0, 1.2), (0.4, 0.5, 0.6))),
    ],
)
def test_a_pixel_is_scaled_as_its_processor_says(
    written: dict[str, Path], tmp_path: Path, change: Json, levels: Levels
) -> None:
    found = read_folder("mine", changed(written["vit"], tmp_path, "preprocessor_config.json", change)).levels
    assert found is not None
    assert found.middle == pytest.approx(levels.middle) and found.spread == pytest.approx(levels.spread)


@pytest.mark.parametrize(
    ("kind", "file", "change", "named"),
    [
        ("vit", "config.json", {"model_type": "clip"}, "clip.*vit, deit, dinov2"),
        ("vit", "config.json", {"model_type": "swin"}, "swin"),
        ("vit", "config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ("vit", "config.json", {"num_channels": 1}, "1 channels"),
        ("vit", "config.json", {"patch_size": "8"}, "patch_size"),
        ("vit", "config.json", {"image_size": 64}, "32 px.*64"),
        ("vit", "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"}, "CLIPImageProcessor"),
        ("vit", "preprocessor_config.json", {"resample": 1}, "resample"),
        ("vit", "preprocessor_config.json", {"do_resize": False}, "do_resize"),
        ("vit", "preprocessor_config.json", {"do_pad": True}, "do_pad"),
        ("vit", "preprocessor_config.json", {"size": {"height": 32, "width": 40}}, "squares"),
        ("vit", "preprocessor_config.json", {"size": {"shortest_edge": 32}}, "no square"),
        ("vit", "preprocessor_config.json", {"image_std": [0.5, 0.5, 0]}, "image_std"),
        ("vit", "preprocessor_config.json", {"image_mean": [0.5, 0.5]}, "image_mean"),
        ("vit", "preprocessor_config.json", {"rescale_factor": 0}, "rescale_factor"),
        ("dinov2", "preprocessor_config.json", {"crop_size": 64}, "no square"),
        ("dinov2", "preprocessor_config.json", {"do_center_crop": False}, "no square"),
    ],
)
def test_what_would_need_code_or_a_guess_is_refused(
    written: dict[str, Path], tmp_path: Path, kind: str, file: str, change: Json, named: str
) -> None:
    with pytest.raises(Unavailable, match=named) as refused:
        read_folder("mine", changed(written[kind], tmp_path, file, change))
    assert refused.value.reason == "backbone_unsupported"


def test_a_folder_without_its_processor_is_told_so(written: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(written["vit"], tmp_path, "", {})
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(Unavailable, match="preprocessor_config") as refused:
        read_folder("mine", folder)
    assert refused.value.reason == "backbone_missing"

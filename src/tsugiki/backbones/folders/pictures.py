"""Vision transformers: how they see a picture, by the folder's preprocessor_config.json.

What that file leaves out is what its processor takes then: the defaults of transformers' classes of these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tsugiki.backbones.folders.files import check_file, read_object, whole
from tsugiki.backbones.source import CONFIG, PREPROCESSOR, Levels, Source, unsupported
from tsugiki.data.decoding.images import View
from tsugiki.domain import Json

HALF = (0.5, 0.5, 0.5)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WHITE = 255.0
RESAMPLES: Mapping[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
# Steps of a processor that are taken, or that change nothing of an RGB picture; any other is refused where it is on.
STEPS = frozenset({"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"})


@dataclass(frozen=True, slots=True)
class Kind:
    """`first` tokens stand before those of the patches. `fixed`: it takes pictures of one size alone."""

    processor: str  # where the folder names none
    first: int
    fixed: bool


PICTURES: Mapping[str, Kind] = {
    "vit": Kind("ViT", 1, fixed=True),
    "deit": Kind("DeiT", 2, fixed=True),
    "dinov2": Kind("Bit", 1, fixed=False),
}
PROCESSORS: Mapping[str, Json] = {
    "ViT": {"size": 224, "resample": 2, "image_mean": HALF, "image_std": HALF, "do_center_crop": False},
    "DeiT": {"size": 256, "crop_size": 224, "resample": 3, "image_mean": HALF, "image_std": HALF},
    "Bit": {
        "size": {"shortest_edge": 224},
        "crop_size": 224,
        "resample": 3,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    },
}
ALWAYS: Json = {"do_resize": True, "do_center_crop": True, "do_rescale": True, "do_normalize": True}


def read_pictures(name: str, folder: Path, config: Json) -> Source:
    """Raises Unavailable as `read_folder` does."""
    path = folder / CONFIG
    kind = PICTURES[config["model_type"]]
    side, patch = whole(name, path, config, "image_size"), whole(name, path, config, "patch_size")
    if (channels := config.get("num_channels", 3)) != 3:
        raise unsupported(name, f"it reads pictures of {channels} channels; of three (RGB) they are read")
    check_file(name, folder / PREPROCESSOR, "save the image processor beside the weights")
    processor = _processor(name, read_object(name, folder / PREPROCESSOR), kind)
    view = _view(name, processor)
    if view.size < patch or (kind.fixed and view.size != side):
        raise unsupported(name, f"its {PREPROCESSOR} makes pictures of {view.size} px, the network takes {side}")
    return Source(
        name=name,
        folder=folder,
        dim=whole(name, path, config, "hidden_size"),
        blocks=whole(name, path, config, "num_hidden_layers"),
        max_tokens=(view.size // patch) ** 2 + kind.first,
        network="vit",
        pooling="cls+mean",
        modality="image",
        view=view,
        levels=_levels(name, processor),
    )


def _processor(name: str, content: Json, kind: Kind) -> Json:
    """All that the processor does, its defaults where the file is silent."""
    named = str(content.get("image_processor_type") or content.get("feature_extractor_type") or kind.processor)
    known = next((ours for ours in PROCESSORS if named in _names(ours)), None)
    if known is None:
        raise unsupported(name, f"its {PREPROCESSOR} is of {named}; those of {', '.join(PROCESSORS)} are read")
    processor = ALWAYS | PROCESSORS[known] | {key: value for key, value in content.items() if value is not None}
    others = sorted(key for key, on in processor.items() if key.startswith("do_") and on and key not in STEPS)
    if others or not processor["do_resize"]:
        found = f"with {', '.join(others)}" if others else "without do_resize"
        raise unsupported(name, f"its {PREPROCESSOR} is {found}, which is not read")
    if known == "Bit" and isinstance(processor["size"], int):  # to the others a bare number is a square
        processor["size"] = {"shortest_edge": processor["size"]}
    return processor


def _names(ours: str) -> frozenset[str]:
    """`ViT -> ViT, ViTImageProcessor, ViTImageProcessorFast, ViTFeatureExtractor, ...`."""
    return frozenset({ours, f"{ours}FeatureExtractor", *(f"{ours}ImageProcessor{end}" for end in ("", "Fast", "Pil"))})


def _view(name: str, processor: Json) -> View:
    resample = RESAMPLES.get(processor["resample"])
    if resample is None:
        raise unsupported(name, f"resample of its {PREPROCESSOR} is {processor['resample']}; 2 and 3 are read")
    size = processor["size"]
    match size:
        case {"shortest_edge": int(scaled)} if scaled > 0 and len(size) == 1:
            squash = False
        case _:
            scaled, squash = _square(name, "size", size), True
    cut = _square(name, "crop_size", processor["crop_size"]) if processor["do_center_crop"] else scaled
    if cut > scaled or not (squash or processor["do_center_crop"]):
        raise unsupported(name, f"its {PREPROCESSOR} makes no square of every picture: size {size!r}, cut to {cut}")
    return View(size=cut, crop=cut / scaled, resample=resample, squash=squash)


def _square(name: str, key: str, size: Any) -> int:  # Any: JSON is untyped until looked at
    """`224`, or `{"height": 224, "width": 224}`."""
    match size:
        case int(side) if side > 0:
            return side
        case {"height": int(side), "width": int(other)} if side == other > 0 and len(size) == 2:
            return side
        case _:
            raise unsupported(name, f"{key} of its {PREPROCESSOR} is {size!r}; squares are read")


def _levels(name: str, processor: Json) -> Levels:
    factor = processor.get("rescale_factor", 1.0 / WHITE) if processor["do_rescale"] else 1.0
    if not isinstance(factor, (int, float)) or factor <= 0.0:
        raise unsupported(name, f"rescale_factor of its {PREPROCESSOR} is {factor!r}; numbers above 0 are read")
    white = 1.0 / factor
    if not processor["do_normalize"]:
        return Levels((0.0, 0.0, 0.0), (white, white, white))
    mean, spread = (_colours(name, key, processor[key], white) for key in ("image_mean", "image_std"))
    if min(spread) <= 0.0:
        raise unsupported(name, f"image_std of its {PREPROCESSOR} is not above 0")
    return Levels(mean, spread)


def _colours(name: str, key: str, values: Any, white: float) -> tuple[float, float, float]:  # Any: as above
    match values:
        case [int() | float() as red, int() | float() as green, int() | float() as blue]:
            return red * white, green * white, blue * white
        case _:
            raise unsupported(name, f"{key} of its {PREPROCESSOR} is {values!r}; three numbers are read")

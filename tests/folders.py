"""Tiny real networks of pictures and sounds with random weights, as folders of the Hugging Face format."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false
# transformers leaves much of its types unknown.

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tsugiki.domain import Json

SIZES: Json = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
LIGHT: Json = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}


def vit() -> PreTrainedModel:
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig(**SIZES, image_size=32, patch_size=8))


def deit() -> PreTrainedModel:
    from transformers import DeiTConfig, DeiTModel

    return DeiTModel(DeiTConfig(**SIZES, image_size=32, patch_size=8))


def dinov2() -> PreTrainedModel:
    """Trained, as the real ones, on larger pictures than its processor makes."""
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**SIZES, mlp_ratio=2, image_size=70, patch_size=14))


# The network of each folder, and its preprocessor_config.json.
FOLDERS: dict[str, tuple[Callable[[], PreTrainedModel], Json]] = {
    "vit": (vit, {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}} | LIGHT),
    "deit": (deit, {"feature_extractor_type": "DeiTFeatureExtractor", "size": 36, "crop_size": 32} | LIGHT),
    "dinov2": (
        dinov2,
        {
            "image_processor_type": "BitImageProcessor",
            "size": {"shortest_edge": 48},
            "crop_size": {"height": 42, "width": 42},
        }
        | LIGHT,
    ),
}


def write_folder(kind: str, folder: Path) -> Path:
    """The same bytes whenever it is called."""
    import torch

    make, preprocessor = FOLDERS[kind]
    torch.manual_seed(3)
    model = make()
    with torch.no_grad():  # at their beginning biases are zeros, norms do nothing, and weights next to nothing
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder

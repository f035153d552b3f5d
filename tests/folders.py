"""Tiny real networks of pictures and sounds with random weights, as folders of the Hugging Face format."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportCallIssue=false
# transformers leaves much of its types unknown.

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tsugiki.domain import Content, Floats, Json, Modality

SIZES: Json = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SHAPES = ((64, 64), (97, 97), (80, 60))  # pixels
SECONDS = (0.02, 0.31, 0.85)  # the first is less than one position of raw sound
LIGHT: Json = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}

# A position each 320 samples, as of the real ones' seven, for each convolution takes the exporter a second.
CONVOLUTIONS: Json = {
    "conv_dim": [8, 8],
    "conv_kernel": [80, 20],
    "conv_stride": [16, 20],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
SPEECH: Json = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000, "do_normalize": True}
FRAMES: Json = {"feature_extractor_type": "ASTFeatureExtractor", "sampling_rate": 16_000, "max_length": 40}


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


def wav2vec2_group() -> PreTrainedModel:
    """Its first convolution normed over time, as the base models' is."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return Wav2Vec2Model(Wav2Vec2Config(**SIZES, **CONVOLUTIONS, feat_extract_norm="group"))


def wav2vec2_layer() -> PreTrainedModel:
    """Norms at every position and before every block, as the large models' are."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(**SIZES, **CONVOLUTIONS, feat_extract_norm="layer", do_stable_layer_norm=True)
    return Wav2Vec2Model(config)


def ast() -> PreTrainedModel:
    from transformers import ASTConfig, ASTModel

    return ASTModel(ASTConfig(**SIZES, patch_size=8, time_stride=8, frequency_stride=8, max_length=40, num_mel_bins=24))


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
    "wav2vec2-group": (wav2vec2_group, SPEECH),
    "wav2vec2-layer": (wav2vec2_layer, SPEECH),
    "ast": (ast, FRAMES | {"num_mel_bins": 24, "mean": -4.0, "std": 4.5}),
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


def contents(modality: Modality) -> list[Content]:
    """Files as unequal as inputs are."""
    if modality == "image":
        return [png(picture(*shape, seed)) for seed, shape in enumerate(SHAPES)]
    return [wav(tone(seconds)) for seconds in SECONDS]


def picture(width: int, height: int, seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def tone(seconds: float) -> Floats:
    """As 16 bits keep it."""
    at = np.arange(round(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(len(at)).normal(0, 0.02, len(at))
    heard = 0.3 * np.sin(2 * np.pi * (200 + 700 * seconds) * at) + noise
    return (np.rint(heard * 2**15) / 2**15).astype(np.float32)


def wav(samples: Floats) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(16_000)
        written.writeframes((samples * 2**15).astype("<i2").tobytes())
    return file.getvalue()

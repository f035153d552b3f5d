"""Networks that transformers reads from a folder: every weight from the file, and no code."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' types leave much unknown.

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tsugiki.backbones.networks.weights import Mismatch

if TYPE_CHECKING:
    from tsugiki.backbones.networks import Attention
    from tsugiki.backbones.source import Source

# What no feature is made from: BERT's classification layer, and what stands for hidden parts in pretraining alone.
UNUSED = ("pooler.", "embeddings.mask_token", "masked_spec_embed")


def read_pretrained(source: Source, attention: Attention) -> torch.nn.Module:
    """Of the class that the folder's config names, in eval mode and float32. Raises Mismatch."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # what is missing or left over is judged below, and told as an error of ours
    logging.disable_progress_bar()
    encoder, found = AutoModel.from_pretrained(
        source.folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        attn_implementation=attention,
        output_loading_info=True,
    )
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(UNUSED))
    if missing:  # transformers would fill them at random: another feature space at every start
        raise Mismatch(f"{source.weights} lacks {len(missing)} weights, the first {missing[0]}")
    return encoder.eval()


def only_modules_learn(encoder: torch.nn.Module) -> None:
    """Fixes tensors that are no module's weight or bias: class tokens, positions, scales of a block's yield.

    A compiled graph is known by what its operators read as weight and bias, so these alone can be replaced there.
    """
    for name, parameter in encoder.named_parameters():
        if name.rpartition(".")[2] not in ("weight", "bias"):
            parameter.requires_grad_(False)

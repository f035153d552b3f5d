"""What every compiled backbone looks like from outside: tensor names, opset, version of the recipe."""

from typing import Final

INPUT_IDS: Final = "input_ids"  # of texts: (batch, tokens) int64
ATTENTION_MASK: Final = "attention_mask"  # of texts and sounds: (batch, tokens or frames) int64, 1 where one is
PIXELS: Final = "pixels"  # of pictures: (batch, height, width, 3) uint8; the graph scales them, so that rows stay small
WAVE: Final = "wave"  # of sounds: (batch, samples) float32
MEL: Final = "mel"  # of sounds: (batch, frames, bands) float32, the logarithm of a mel spectrogram
FEATURES: Final = "features"  # (batch, feature_dim) float32

OPSET: Final = 18  # what torch's exporter writes of itself: no version conversion between the two
RECIPE: Final = 4  # raise it whenever graph.py would compile the same folder to another file

SLOTS: Final = "slots"  # (groups,) int64: the bank graph's; see bank_graph.py


def down(module: str) -> str:
    """The bank graph's input of a module's first LoRA matrices."""
    return f"{module}.down"


def up(module: str) -> str:
    return f"{module}.up"

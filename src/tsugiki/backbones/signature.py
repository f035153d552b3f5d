"""What every compiled text backbone looks like from outside: tensor names, opset, version of the recipe."""

from typing import Final

INPUT_IDS: Final = "input_ids"  # (batch, tokens) int64
ATTENTION_MASK: Final = "attention_mask"  # (batch, tokens) int64, 1 where a token is
FEATURES: Final = "features"  # (batch, feature_dim) float32

OPSET: Final = 18  # what torch's exporter writes of itself: no version conversion between the two
RECIPE: Final = 2  # raise it whenever graph.py would compile the same folder to another file

SLOTS: Final = "slots"  # (groups,) int64: the bank graph's; see bank_graph.py


def down(module: str) -> str:
    """The bank graph's input of a module's first LoRA matrices."""
    return f"{module}.down"


def up(module: str) -> str:
    return f"{module}.up"

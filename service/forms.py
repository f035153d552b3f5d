"""What the parts of a form say: inputs to be answered, samples to be stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.edge import validated
from service.multipart import Part, malformed, read_parts
from service.schemas import MAX_INPUTS, MAX_ROWS, PredictIn, SampleIn, SamplesIn
from service.strict_json import pointer, read_json
from tsugiki.errors import Invalid

FILE = "file"
OPTIONS = ("top_k", "truncate")
TOLD_OF_A_FILE = ("label", "external_id", "source", "metadata")
COUNT_DIGITS = 9  # of a number in a form; one that is longer is told as no number

PREDICTION_FORM = {
    "type": "object",
    "required": [FILE],
    "properties": {
        FILE: {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "maxItems": MAX_INPUTS,
            "description": "one part an input, answered in their order",
        },
        "top_k": {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 1},
        "truncate": {"enum": ["END", "NONE"], "default": "END"},
    },
}
SAMPLES_FORM = {
    "type": "object",
    "required": [FILE],
    "description": "What follows a `file` up to the next one is told of it, as in `curl -F file=@a.jpg -F label=ants "
    "-F file=@b.jpg -F label=bees`. What stands before the first `file`, where HTTP libraries put fields, is told of "
    "the only one, or of several in order, one part of a name a `file`. In a multi_label project a `file` has as many "
    "`label` parts as labels. One without a `label` is stored without; JSON can say that none applies.",
    "properties": {
        FILE: {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "maxItems": MAX_ROWS,
            "description": "one part a sample; its name on the sender's disk is not kept",
        },
        "label": {"type": "string"},
        "external_id": {"type": "string", "maxLength": 256},
        "source": {"type": "string", "maxLength": 256},
        "metadata": {"type": "string", "description": "a JSON object"},
    },
}


def prediction_form(body: bytes, content_type: str) -> PredictIn:
    """Raises Invalid."""
    parts = read_parts(body, content_type, MAX_INPUTS + len(OPTIONS))
    given: dict[str, Any] = {"inputs": [part.data for part in parts if part.name == FILE]}
    for part in parts:
        if part.name == FILE:
            continue
        place = pointer([part.name])
        if part.name not in OPTIONS:
            raise _unknown(part, place, (FILE, *OPTIONS))
        if part.name in given:
            raise _twice(part, place)
        text = part.text(place)
        number = part.name == "top_k" and text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS
        given[part.name] = int(text) if number else text
    return validated(PredictIn, given)


def samples_form(body: bytes, content_type: str) -> list[SampleIn]:
    """Raises Invalid for what is no row; row errors are left to the row."""
    parts = read_parts(body, content_type, MAX_ROWS * (1 + len(TOLD_OF_A_FILE)))
    return validated(SamplesIn, {"samples": _rows(parts)}).samples


def _rows(parts: Sequence[Part]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    ahead: dict[str, list[Part]] = {}
    for part in parts:
        if part.name == FILE:
            rows.append({"input": part.data})
            continue
        place = pointer(["samples", max(len(rows) - 1, 0), part.name])
        if part.name not in TOLD_OF_A_FILE:
            raise _unknown(part, place, (FILE, *TOLD_OF_A_FILE))
        if rows:
            _tell(rows[-1], part, place)
        else:
            ahead.setdefault(part.name, []).append(part)
    for name, told in ahead.items():
        _tell_ahead(rows, name, told)
    return rows


def _tell_ahead(rows: list[dict[str, Any]], name: str, told: Sequence[Part]) -> None:
    """HTTP libraries send fields before files, whatever their order in the call: those are dealt out in theirs."""
    if len(rows) > 1 and len(told) != len(rows):
        detail = f"{len(told):,} parts {name} stand before {len(rows):,} files: which belongs to which cannot be told"
        raise malformed(detail, pointer(["samples", 0, name]), fix=f"send one {name} a file, or each after its file")
    for place, part in enumerate(told if rows else ()):
        row = min(place, len(rows) - 1)  # all of them are of the one file, where there is one
        _tell(rows[row], part, pointer(["samples", row, name]))


def _tell(row: dict[str, Any], part: Part, place: str) -> None:
    text = part.text(place)
    if part.name == "label" and "labels" in row:
        row["labels"].append(text)
    elif part.name == "label" and "label" in row:
        row["labels"] = [row.pop("label"), text]
    elif part.name in row:
        raise _twice(part, place)
    else:
        row[part.name] = _metadata(part, place) if part.name == "metadata" else text


def _metadata(part: Part, place: str) -> Any:  # Any: JSON as it comes
    try:
        return read_json(part.data)
    except Invalid as refused:
        raise malformed(f"{place}: {refused.detail}", place, fix=refused.fix) from None


def _unknown(part: Part, place: str, known: Sequence[str]) -> Invalid:
    return malformed(f"nothing is known by the name {part.name!r}", place, fix=f"name parts {', '.join(known)}")


def _twice(part: Part, place: str) -> Invalid:
    return malformed(f"the part {part.name} is there twice", place, fix="send it once")

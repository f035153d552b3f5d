"""What callers hand in, as the wire wants it."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, cast, runtime_checkable

from tsugiki.client.sounds import Audio, wav_of
from tsugiki.media import media_type

Modality = Literal["text", "image", "audio"]


@runtime_checkable
class Picture(Protocol):
    """A picture of PIL, or anything that saves itself as one does."""

    def save(self, fp: Any, format: str | None = None) -> None: ...


Input = str | bytes | os.PathLike[str] | Picture | Audio
"""A text; or a picture or a sound: a file's bytes, the path of a file, a picture of PIL, samples as `Audio`."""

NewSample = tuple[Input, str | Sequence[str] | None] | Mapping[str, Any]
"""(input, label), or a mapping with `input` and any of `label`, `external_id`, `source`, `metadata`."""

MAX_ROWS = 10_000  # samples a call: the interface's limit
MAX_BYTES = 8 << 20  # of a chunk: half of the service's default limit for a body


def on_wire(value: object) -> Any:  # Any: JSON
    """Text as it is, files as `{"base64": ...}`; a mapping or None is the service's to judge. Reads paths.

    Pictures go as PNG, in which nothing is lost; PIL raises OSError where one has no such form (CMYK: convert it).
    Raises OSError for a path that cannot be read, ValueError for an array that is no sound, TypeError for the rest.
    """
    if value is None or isinstance(value, str | Mapping):
        return cast(object, value)
    return {"base64": base64.b64encode(file_of(value)).decode()}


def listed(given: Input | Mapping[str, Any] | Iterable[Input | Mapping[str, Any]]) -> list[Input | Mapping[str, Any]]:
    """Several inputs as they are, one by itself as a list of one; a mapping is one."""
    if isinstance(given, str | bytes | os.PathLike | Audio | Picture):
        return [given]
    return [cast(Mapping[str, Any], given)] if isinstance(given, Mapping) else list(given)


def file_of(value: object) -> bytes:
    """The bytes that stand for a picture or a sound."""
    match value:
        case bytes():
            return value
        case os.PathLike():
            with open(cast(os.PathLike[str], value), "rb") as file:
                return file.read()
        case Audio():
            return wav_of(value)
        case Picture():
            buffer = io.BytesIO()
            value.save(buffer, format="PNG")
            return buffer.getvalue()
        case _:
            raise TypeError(
                f"an input is a str, bytes, a path, a picture of PIL or Audio(samples, rate), "
                f"not {type(value).__name__}"
            )


def modality_of(samples: Sequence[Mapping[str, Any]]) -> Modality:
    """That of the first row, as it is on the wire: a file's by its first bytes. Raises ValueError where they say none.

    Text, where there are no rows, or the first holds no input.
    """
    given = samples[0].get("input") if samples else None
    if not isinstance(given, Mapping):
        return "text"
    text = str(cast(Mapping[str, object], given).get("base64", ""))
    match media_type(base64.b64decode(text[:64])).partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case _:
            raise ValueError('the first bytes of the first file say neither picture nor sound: pass modality="…"')


def sample_on_wire(sample: NewSample) -> dict[str, Any]:
    """The row of a sample; raises ValueError when it is neither a pair nor a mapping with `input`, and as `on_wire`."""
    if isinstance(sample, Mapping):
        if "input" not in sample:
            raise ValueError(f"a sample needs 'input'; it has {sorted(sample)}")
        return {**sample, "input": on_wire(sample["input"])}
    if isinstance(sample, str) or len(sample) != 2:
        raise ValueError("a sample is a pair (input, label) or a mapping with 'input'")
    given, label = sample
    return {"input": on_wire(given), "label": label if label is None or isinstance(label, str) else list(label)}


def chunks(rows: Iterable[Any], most: int | None = None) -> Iterator[list[Any]]:
    """Rows as they are on the wire, in the order given, in pieces that fit one call; `most` of them, else MAX_ROWS."""
    most = MAX_ROWS if most is None else most
    piece: list[Any] = []
    size = 0
    for row in rows:
        row_bytes = len(json.dumps(row, ensure_ascii=False).encode())
        if piece and (len(piece) == most or size + row_bytes > MAX_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += row_bytes
    if piece:
        yield piece

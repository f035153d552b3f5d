"""What callers hand in, as the wire wants it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Input = str | bytes
"""Text, or the bytes of an image or sound file."""

NewSample = tuple[Input, str | Sequence[str] | None] | Mapping[str, Any]
"""(input, label), or a mapping with `input` and any of `label`, `external_id`, `source`, `metadata`."""

MAX_ROWS = 10_000  # samples a call: the interface's limit
MAX_BYTES = 8 << 20  # of a chunk: half of the service's default limit for a body


def on_wire(value: Input) -> str | dict[str, str]:
    """Text as it is, bytes as `{"base64": ...}`."""
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def sample_on_wire(sample: NewSample) -> dict[str, Any]:
    """The row of a sample; raises ValueError when it is neither a pair nor a mapping with `input`."""
    if isinstance(sample, Mapping):
        if "input" not in sample:
            raise ValueError(f"a sample needs 'input'; it has {sorted(sample)}")
        return {**sample, "input": on_wire(sample["input"])}
    if isinstance(sample, str) or len(sample) != 2:
        raise ValueError("a sample is a pair (input, label) or a mapping with 'input'")
    given, label = sample
    return {"input": on_wire(given), "label": label if label is None or isinstance(label, str) else list(label)}


def chunks(samples: Iterable[NewSample]) -> Iterator[list[dict[str, Any]]]:
    """Rows in the order given, in pieces that fit one call."""
    rows: list[dict[str, Any]] = []
    size = 0
    for sample in samples:
        row = sample_on_wire(sample)
        row_bytes = len(json.dumps(row, ensure_ascii=False).encode())
        if rows and (len(rows) == MAX_ROWS or size + row_bytes > MAX_BYTES):
            yield rows
            rows, size = [], 0
        rows.append(row)
        size += row_bytes
    if rows:
        yield rows

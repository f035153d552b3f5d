"""Checking inputs that are files, pictures and sounds: what is refused, and why."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import Any, cast

from tsugiki.data.decoding import Decoder
from tsugiki.data.text import RowRefused, json_type, names_url, refused
from tsugiki.domain import Modality, SampleFile
from tsugiki.errors import Invalid, Issue

ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986


def clean_file(raw: object, pointer: str, modality: Modality, decoder: Decoder) -> SampleFile:
    """The file once it has been read as what it should be. Blocks meanwhile. Raises RowRefused."""
    data = file_bytes(raw, pointer)
    try:
        return SampleFile(data, decoder.look(data, modality))
    except Invalid as unreadable:
        raise told_at(unreadable, pointer) from None


def file_bytes(raw: object, pointer: str) -> bytes:
    """What was sent as a part of its own, or as `{"base64": "..."}`; not looked into. Raises RowRefused."""
    if raw is None:
        raise refused("input_missing", pointer, "no input was given", 'send the file as {"base64": "..."}')
    if names_url(raw) or (isinstance(raw, str) and ADDRESS.match(raw)):
        raise refused("url_forbidden", pointer, "inputs are never fetched from a URL", "send the file itself")
    data = raw if isinstance(raw, bytes) else _decoded(raw, pointer)
    if not data:
        raise refused("input_empty", pointer, "the file is empty", "send one with content, or drop the row")
    return data


def told_at(unreadable: Invalid, pointer: str) -> RowRefused:
    """The same refusal of a file, with where in the request it stood; one without issues becomes one."""
    issues = [replace(issue, pointer=pointer) for issue in unreadable.issues]
    issues = issues or [Issue(unreadable.reason, pointer, unreadable.detail, unreadable.fix)]
    return RowRefused(unreadable.detail, fix=unreadable.fix, code=unreadable.reason, issues=issues)


def _decoded(raw: object, pointer: str) -> bytes:
    fields = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    text = fields.get("base64")
    if len(fields) != 1 or not isinstance(text, str):
        found = "an object of other fields" if isinstance(raw, dict) else json_type(raw)
        detail = f'the project reads files, pictures or sounds: expected {{"base64": "..."}}, got {found}'
        raise refused("input_invalid", pointer, detail, "send the file's bytes in base64, or as a part of a form")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        detail = "the field base64 holds something else"
        raise refused("input_invalid", pointer, detail, "use the standard alphabet, with padding") from None

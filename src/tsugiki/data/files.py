"""Checking inputs that are files, pictures and sounds: what is refused, and why."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from tsugiki.data.decoding import Decoder
from tsugiki.data.text import RowRefused, json_type, names_url, refused
from tsugiki.domain import Modality, SampleFile
from tsugiki.errors import Invalid, Issue

READ: Mapping[Modality, str] = {"image": "pictures", "audio": "sounds"}
HOW = 'send the file as {"base64": "..."}, or as the part "file" of a form'
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986


def clean_file(raw: object, pointer: str, modality: Modality, decoder: Decoder) -> SampleFile:
    """The file once it has been read as what it should be. Blocks meanwhile. Raises RowRefused."""
    data = file_bytes(raw, pointer, modality)
    try:
        return SampleFile(data, decoder.look(data, modality))
    except Invalid as unreadable:
        raise told_at(unreadable, pointer, modality) from None


def file_bytes(raw: object, pointer: str, modality: Modality) -> bytes:
    """What was sent as a part of its own, or as `{"base64": "..."}`; not looked into. Raises RowRefused."""
    if raw is None:
        raise refused("input_missing", pointer, f"no input was given, the project reads {READ[modality]}", HOW)
    if names_url(raw) or (isinstance(raw, str) and ADDRESS.match(raw)):
        raise refused("url_forbidden", pointer, "inputs are never fetched from a URL", HOW)
    data = raw if isinstance(raw, bytes) else _decoded(raw, pointer, modality)
    if not data:
        raise refused("input_empty", pointer, "the file is empty", "send one with content, or drop the row")
    return data


def told_at(unreadable: Invalid, pointer: str, modality: Modality) -> RowRefused:
    """The same refusal of what a backbone could not read, with where in the request it stood.

    Of a file that is none of the modality's, or a damaged one, with what is read there. Without issues it becomes one.
    """

    def told(detail: str) -> str:
        undecodable = modality in READ and unreadable.reason == f"{modality}_undecodable"
        return f"the project reads {READ[modality]}: {detail}" if undecodable else detail

    issues = [replace(issue, pointer=pointer, detail=told(issue.detail)) for issue in unreadable.issues]
    issues = issues or [Issue(unreadable.reason, pointer, told(unreadable.detail), unreadable.fix)]
    return RowRefused(told(unreadable.detail), fix=unreadable.fix, code=unreadable.reason, issues=issues)


def _decoded(raw: object, pointer: str, modality: Modality) -> bytes:
    fields = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    text = fields.get("base64")
    if len(fields) != 1 or not isinstance(text, str):
        found = "an object of other fields" if isinstance(raw, dict) else json_type(raw)
        raise refused(
            "input_invalid", pointer, f"the project reads {READ[modality]}: expected a file, got {found}", HOW
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        detail = "the field base64 holds something else"
        raise refused("input_invalid", pointer, detail, "use the standard alphabet, with padding") from None

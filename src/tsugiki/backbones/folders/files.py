"""The files of a folder: which must be there, and their JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from tsugiki.backbones.source import WEIGHTS, unsupported
from tsugiki.domain import Json
from tsugiki.errors import Unavailable

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def check_weights_file(name: str, folder: Path) -> None:
    """Raises Unavailable (`backbone_missing`; `backbone_unsupported` where there are pickled ones only)."""
    if not folder.is_dir():
        raise Unavailable(f"backbone {name!r}: {folder} is not a folder", code="backbone_missing")
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled and not (folder / WEIGHTS).is_file():
        found = f"{folder} holds {', '.join(pickled)}: a pickle may run code when it is read, so it is never opened"
        raise unsupported(name, found, f"convert the weights to one {WEIGHTS}")
    check_file(name, folder / WEIGHTS)


def check_file(name: str, path: Path, fix: str = "") -> None:
    """Raises Unavailable (`backbone_missing`)."""
    if not path.is_file():
        raise Unavailable(f"backbone {name!r}: {path} does not exist", fix=fix, code="backbone_missing")


def read_object(name: str, path: Path) -> Json:
    """Raises Unavailable (`backbone_unsupported`)."""
    content = _json(name, path)
    if not isinstance(content, dict):
        raise unsupported(name, f"{path} is not a JSON object")
    return cast(Json, content)


def read_list(name: str, path: Path) -> list[Json]:
    """Raises as above."""
    content = _json(name, path)
    if not isinstance(content, list):
        raise unsupported(name, f"{path} is not a JSON list")
    return cast(list[Json], content)


def _json(name: str, path: Path) -> Any:  # JSON is untyped until looked at
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise unsupported(name, f"{path} is not JSON: {error}") from error


def whole(name: str, path: Path, content: Json, key: str) -> int:
    """A positive whole number. Raises as above."""
    value = content.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise unsupported(name, f"{key} of {path} is {value!r}, not a positive whole number")
    return value

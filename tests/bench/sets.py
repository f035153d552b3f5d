"""The labelled sets figures are measured on, which are not in the repository: `TSUGIKI_DATA` says where."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

DATA = Path(os.environ.get("TSUGIKI_DATA", "../shared/data"))


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    label: str


def read(name: str, split: str) -> list[Row]:
    """Raises SystemExit naming the variable when the sets are not there."""
    path = DATA / "text" / name / f"{split}.jsonl"
    if not path.is_file():
        raise SystemExit(f"{path} does not exist: set TSUGIKI_DATA to the folder that holds text/{name}/")
    with path.open(encoding="utf-8") as lines:
        return [Row(**json.loads(line)) for line in lines]

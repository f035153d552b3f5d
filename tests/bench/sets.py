"""The labelled sets figures are measured on, which are not in the repository: `TSUGIKI_DATA` says where."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

DATA = Path(os.environ.get("TSUGIKI_DATA", "../shared/data"))


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class FileRow:
    data: bytes
    label: str
    name: str


def read(name: str, split: str) -> list[Row]:
    """Raises SystemExit naming the variable when the sets are not there."""
    path = DATA / "text" / name / f"{split}.jsonl"
    if not path.is_file():
        raise SystemExit(f"{path} does not exist: set TSUGIKI_DATA to the folder that holds text/{name}/")
    with path.open(encoding="utf-8") as lines:
        return [Row(**json.loads(line)) for line in lines]


def read_files(kind: str, name: str, split: str) -> list[FileRow]:
    """Of `image/<name>.tar` or `audio/<name>.tar.gz`, which hold `split/label/file`. Raises SystemExit likewise."""
    path = next((path for end in (".tar", ".tar.gz") if (path := DATA / kind / f"{name}{end}").is_file()), None)
    if path is None:
        raise SystemExit(f"{DATA / kind / name}.tar does not exist: set TSUGIKI_DATA to the folder that holds {kind}/")
    rows: list[FileRow] = []
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            parts = PurePosixPath(member.name).parts[-3:]
            if member.isfile() and len(parts) == 3 and parts[0] == split:
                file = archive.extractfile(member)
                assert file is not None, "a plain file has content"
                rows.append(FileRow(file.read(), parts[1], parts[2]))
    return rows

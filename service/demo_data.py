"""The demo's samples: a CSV file, parted into what is learned first, what comes later, and what is never seen."""

from __future__ import annotations

import csv
import random
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

Ticket = tuple[str, str]  # (text, label)

UNSEEN_SHARE = 0.2  # of each label
LATER_SHARE = 0.1  # of each label
LEAST_FIRST = 4  # samples a label keeps to learn from, before any is held back
SEED = 0
MOST_FIRST = 10_000  # samples the first call takes: the interface's limit; the others come later
SPLITS = ("first", "later", "unseen")


class Unreadable(Exception):
    """The file is no table of texts and labels."""


@dataclass(frozen=True, slots=True)
class Tickets:
    first: list[Ticket]
    later: list[Ticket]
    unseen: list[Ticket]
    left_out: int = 0  # rows without text or label

    @property
    def labels(self) -> list[str]:
        return sorted({label for _, label in self.first})


def read_tickets(path: Path) -> Tickets:
    """A UTF-8 CSV file with the columns `text` and `label`; `split`, where there is one, says what goes where.

    Without it, 20 % of each label are never shown to the service and 10 % come later, by a seeded draw.
    Raises Unreadable, saying what is wrong with the file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            read = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(f"{path}: {error}") from error
    if not {"text", "label"} <= columns:
        raise Unreadable(f"{path} has the columns {sorted(columns)}; it needs text and label")
    rows = [_row(row) for row in read if _filled(row)]
    parted = _parted(rows) if "split" in columns else _drawn((row["text"], row["label"]) for row in rows)
    tickets = replace(_capped(parted), left_out=len(read) - len(rows))
    for name in SPLITS:
        if not getattr(tickets, name):
            raise Unreadable(f"{path} leaves no rows for {name!r}: more samples a label are needed")
    return tickets


def _parted(rows: Iterable[dict[str, str]]) -> Tickets:
    parts: dict[str, list[Ticket]] = {name: [] for name in SPLITS}
    for row in rows:
        if row["split"] not in parts:
            raise Unreadable(f"split is {row['split']!r}, expected one of {', '.join(SPLITS)}")
        parts[row["split"]].append((row["text"], row["label"]))
    return Tickets(parts["first"], parts["later"], parts["unseen"])


def _drawn(tickets: Iterable[Ticket]) -> Tickets:
    """Each label's samples drawn apart: unseen, later, first. A text that comes twice counts once."""
    draw = random.Random(SEED)
    by_label: dict[str, list[Ticket]] = {}
    for text, label in dict(tickets).items():
        by_label.setdefault(label, []).append((text, label))
    parted = Tickets([], [], [])
    for label in sorted(by_label):
        group = by_label[label]
        draw.shuffle(group)
        spare = max(0, len(group) - LEAST_FIRST)
        unseen = min(spare, round(len(group) * UNSEEN_SHARE))
        later = min(spare - unseen, max(1, round(len(group) * LATER_SHARE)))
        parted.unseen.extend(group[:unseen])
        parted.later.extend(group[unseen : unseen + later])
        parted.first.extend(group[unseen + later :])
    draw.shuffle(parted.unseen)  # the first of them are shown: not all of one label
    return parted


def _filled(row: dict[str, str | None]) -> bool:
    """A short line leaves columns None."""
    return all((row[name] or "").strip() for name in ("text", "label"))


def _row(row: dict[str, str | None]) -> dict[str, str]:
    """Labels as the service keeps them, so that its answers compare."""
    filled = {name: value or "" for name, value in row.items()}
    return filled | {"label": unicodedata.normalize("NFC", filled["label"]).strip()}


def _capped(tickets: Tickets) -> Tickets:
    if len(tickets.first) <= MOST_FIRST:
        return tickets
    first = list(tickets.first)
    random.Random(SEED).shuffle(first)
    return replace(tickets, first=first[:MOST_FIRST], later=[*tickets.later, *first[MOST_FIRST:]])

"""What the demo shows, as rich tables. Texts and labels are data: never read as markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from service.demo_data import Ticket, Tickets
from tsugiki.client import Export, Predictions, SampleBatch

Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution
TEXT_WIDTH = 58  # characters of a text that fit beside the figures on a screen of 100


def data(name: str, tickets: Tickets) -> Table:
    table = _table("What", "rows", title=f"{PurePath(name).name}: {len(tickets.labels)} labels")
    table.add_row("learned first", str(len(tickets.first)))
    table.add_row("learned later", str(len(tickets.later)))
    table.add_row("never shown before being asked", str(len(tickets.unseen)))
    return table


def samples(batch: SampleBatch) -> Text:
    counts = {name: getattr(batch, name) for name in ("accepted", "duplicates", "quarantined", "rejected")}
    return Text("  samples: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count))


def timings(taken: Mapping[str, float]) -> Text:
    return Text("  of it: " + ", ".join(f"{name.removesuffix('_ms')} {ms:.0f} ms" for name, ms in taken.items()))


def accuracy(right: int, asked: int) -> Text:
    low, high = wilson(right, asked)
    return Text(f"  {right} of {asked} right: {right / asked:.1%}, 95 % interval {low:.1%} to {high:.1%}")


def answers(asked: Sequence[Ticket], given: Predictions) -> Table:
    table = _table("text", "truth", "answer", "score")
    for (text, truth), answer in zip(asked, given, strict=False):
        style = "green" if answer.label == truth else "red"
        table.add_row(
            _short(text), Text(truth), Text(answer.label or f"({answer.outcome})", style), _score(answer.score)
        )
    return table


def side_by_side(served: Predictions, alone: Sequence[Mapping[str, float]], differences: Sequence[float]) -> Table:
    title = f"largest difference of any score: {max(differences):.1e}"
    table = _table("row", "service", "score", "export", "score", "difference", title=title)
    for answer, scores, difference in zip(served, alone, differences, strict=True):
        best = max(scores, key=lambda label: scores[label])
        mine = Text(answer.scores[0].label)
        table.add_row(
            str(answer.index), mine, _score(answer.score), Text(best), _score(scores[best]), f"{difference:.1e}"
        )
    return table


def export(made: Export) -> Text:
    parity: Mapping[str, Any] = made.parity or {}
    certificate = f"over {parity.get('rows')} rows, largest difference {parity.get('max_abs_diff', math.nan):.1e}"
    return Text(f"  {(made.bytes or 0) / 1e6:.1f} MB; certificate: {certificate}")


def wilson(right: int, asked: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), sound for few rows: (12, 12) -> (0.757, 1.0)."""
    share, z2 = right / asked, Z95**2
    middle = (share + z2 / (2 * asked)) / (1 + z2 / asked)
    half = Z95 / (1 + z2 / asked) * math.sqrt(share * (1 - share) / asked + z2 / (4 * asked**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMERIC else "left", no_wrap=column in NUMERIC)
    return table


NUMERIC = frozenset({"rows", "row", "score", "difference", "precision", "recall", "F1", "support"})


def _short(text: str) -> Text:
    line = " ".join(text.split())
    return Text(line if len(line) <= TEXT_WIDTH else line[: TEXT_WIDTH - 1] + "…")


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

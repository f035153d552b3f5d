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
from tsugiki.evaluation.intervals import wilson

SHOWN_LABELS = 20  # rows of the table per label, the weakest first
NUMERIC = frozenset(
    {"rows", "row", "value", "95 % interval", "score", "difference", "precision", "recall", "F1", "support"}
)
LABEL_WIDTH = 28  # characters: holds most labels, and leaves room for the text
WIDEST: dict[str, int] = dict.fromkeys(("truth", "answer", "service", "export"), LABEL_WIDTH)


def data(name: str, tickets: Tickets) -> Table:
    table = _table("What", "rows", title=f"{PurePath(name).name}: {len(tickets.labels)} labels")
    table.add_row("learned first", str(len(tickets.first)))
    table.add_row("learned later", str(len(tickets.later)))
    table.add_row("never shown before being asked", str(len(tickets.unseen)))
    if tickets.left_out:
        table.add_row("left out, without text or label", str(tickets.left_out))
    return table


def samples(batch: SampleBatch) -> Text:
    counts = {name: getattr(batch, name) for name in ("accepted", "duplicates", "quarantined", "rejected")}
    return Text("  samples: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count))


def timings(taken: Mapping[str, float]) -> Text:
    return Text("  of it: " + ", ".join(f"{name.removesuffix('_ms')} {ms:.0f} ms" for name, ms in taken.items()))


def headline(evaluation: Mapping[str, Any]) -> Table:
    """Measured on samples held out of the fits, beside always answering the commonest label."""
    baseline = evaluation["majority_baseline"]
    table = _table("on held-out samples", "value", "95 % interval")
    for name, measure in (
        ("accuracy", evaluation["accuracy"]),
        ("accuracy of always answering the commonest label", baseline["accuracy"]),
        ("macro F1", evaluation["macro_f1"]),
        ("calibration error (ECE)", evaluation["ece"]),
    ):
        low, high = measure["ci95"]
        table.add_row(name, f"{measure['value']:.1%}", f"{low:.1%} to {high:.1%}")
    return table


def per_label(evaluation: Mapping[str, Any]) -> Table:
    table = _table("label", "precision", "recall", "95 % interval", "F1", "support")
    rows = sorted(evaluation["per_class"], key=lambda row: row["f1"])
    for row in rows[:SHOWN_LABELS]:
        low, high = row["recall_ci95"]
        figures = (f"{row[name]:.1%}" for name in ("precision", "recall"))
        table.add_row(
            _line(row["label"]), *figures, f"{low:.0%} to {high:.0%}", f"{row['f1']:.1%}", str(row["support"])
        )
    if len(rows) > SHOWN_LABELS:
        table.caption = f"the {SHOWN_LABELS} weakest of {len(rows)} labels"
    return table


def accuracy(right: int, asked: int, version: int) -> Text:
    low, high = wilson(right, asked)
    return Text(
        f"  version {version}: {right} of {asked} right: {right / asked:.1%}, 95 % interval {low:.1%} to {high:.1%}"
    )


def answers(asked: Sequence[Ticket], given: Predictions) -> Table:
    table = _table("text", "truth", "answer", "score")
    for (text, truth), answer in zip(asked, given, strict=False):
        style = "green" if answer.label == truth else "red"
        label = _line(answer.label or f"({answer.outcome})", style)
        table.add_row(_line(text), _line(truth), label, _score(answer.score))
    return table


def side_by_side(served: Predictions, alone: Sequence[Mapping[str, float]], differences: Sequence[float]) -> Table:
    title = f"largest difference of any score: {max(differences):.1e}"
    table = _table("row", "service", "score", "export", "score", "difference", title=title)
    for answer, scores, difference in zip(served, alone, differences, strict=True):
        best = max(scores, key=lambda label: scores[label])
        mine = _line(answer.scores[0].label)
        table.add_row(
            str(answer.index), mine, _score(answer.score), _line(best), _score(scores[best]), f"{difference:.1e}"
        )
    return table


def export(made: Export) -> Text:
    parity: Mapping[str, Any] = made.parity or {}
    certificate = f"over {parity.get('rows')} rows, largest difference {parity.get('max_abs_diff', math.nan):.1e}"
    return Text(f"  {(made.bytes or 0) / 1e6:.1f} MB; certificate: {certificate}")


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        # Figures keep their width; texts and names, which `_line` keeps on one line, give way on a narrow screen.
        figures = column in NUMERIC
        table.add_column(column, justify="right" if figures else "left", no_wrap=figures, max_width=WIDEST.get(column))
    return table


def _line(text: str, style: str = "") -> Text:
    """A text on one line; the table cuts what does not fit."""
    return Text(" ".join(text.split()), style, overflow="ellipsis", no_wrap=True)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

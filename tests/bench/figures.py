"""One measured figure beside its limit, and how a run of them is told: a table, and JSON with the circumstances."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from tsugiki.runtime.engines.processor import told

PACKAGES = ("bentoml", "numpy", "onnxruntime", "openvino", "scikit-learn", "tokenizers", "torch")


@dataclass(frozen=True, slots=True)
class Figure:
    """`limit` is what was promised, `better` which side of it is good; None reports without a promise.

    A `value` of None was not measured, and `note` says why.
    """

    name: str
    value: float | None
    unit: str
    limit: float | None = None
    better: Literal["more", "less"] = "less"
    note: str = ""

    @property
    def kept(self) -> bool | None:
        if self.limit is None or self.value is None:
            return None
        return self.value >= self.limit if self.better == "more" else self.value <= self.limit

    @property
    def ratio(self) -> float | None:
        """Of the value to its limit."""
        return None if not self.limit or self.value is None else self.value / self.limit


def tell(figure: Figure) -> Figure:
    """The figure, after a line of it: of a part that takes minutes, what is known is seen before its end."""
    value = "not measured" if figure.value is None else f"{figure.value:.4g} {figure.unit}"
    Console(width=160).print(f"{figure.name}: {value}  {figure.note}", highlight=False)
    return figure


def circumstances() -> dict[str, object]:
    """Machine, threads and versions: without them a figure says nothing."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": told("model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "engine": "one thread a pass, a worker a core; solver on one thread",
        "seed": 0,
    }


def report(
    figures: Sequence[Figure], path: Path, *, title: str = "Tsugiki, measured", also: Mapping[str, object] | None = None
) -> None:
    """Print the table and write the JSON; `also` are circumstances of this run besides the usual ones."""
    table = Table(title=title)
    for column in ("figure", "value", "limit", "ratio", "", "note"):
        table.add_column(column, justify="right" if column in ("value", "limit", "ratio") else "left")
    for figure in figures:
        sign = {"more": "≥", "less": "≤"}[figure.better]
        kept = {None: "", True: "[green]kept[/]", False: "[red]missed[/]"}[figure.kept]
        limit = "" if figure.limit is None else f"{sign} {figure.limit:g}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        value = "not measured" if figure.value is None else f"{figure.value:.4g} {figure.unit}"
        table.add_row(figure.name, value, limit, ratio, kept, figure.note)
    Console(width=160).print(table)
    rows = [{**asdict(figure), "ratio": figure.ratio, "kept": figure.kept} for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"circumstances": {**circumstances(), **(also or {})}, "figures": rows}, indent=1) + "\n"
    )

"""Japanese: what `auto` and the recommendation make of it, beside the English backbone, through the running service."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.scores import accuracy, matthews
from tests.bench.sets import Row, read
from tsugiki.client import Client
from tsugiki.data.languages import languages_of
from tsugiki.domain import MIN_PER_LABEL

JAPANESE = (("amazon_cf_ja", "test"), ("xsid_ja", "test_nodup"))
USUAL = "minilm-en"
CLEARLY = 5.0  # points of Matthews that the English one is to lose; nine in ten of amazon_cf_ja have one label
TELLING_MS = 100.0  # of the languages of 200 texts
ENGLISH = ("banking77", "train_10shot")


def measure(running: Running) -> list[Figure]:
    figures = [_telling()]
    with Client(running.url, running.key, timeout_s=600) as client:
        for name, split in JAPANESE:
            figures += _beside(client, name, split)
    sys.stderr.write("".join(f"{one.name}: {one.value} {one.unit} {one.note}\n" for one in figures))
    return figures


def _telling() -> Figure:
    texts = [row.text for row in read(*ENGLISH)]
    taken: list[float] = []
    for _ in range(5):
        started = perf_counter()
        languages_of(texts)
        taken.append(1e3 * (perf_counter() - started))
    return Figure(f"language of 200 texts of {ENGLISH[0]}", median(taken), "ms", TELLING_MS)


def _beside(client: Client, name: str, split: str) -> list[Figure]:
    """On the backbone that `auto` takes and on the English one, which must be recommended against."""
    rows = _learnable(read(name, "train"))
    seen = {row.text for row in rows}
    unseen = [row for row in read(name, split) if row.text not in seen]
    usual = f"japanese-{name}".replace("_", "-")
    client.projects.create(usual, backbone=USUAL)
    client.projects.create(f"{usual}-auto")
    found = {project: _scored(client, project, rows, unseen) for project in (usual, f"{usual}-auto")}
    ranked = client.backbones.recommend(project=usual)
    _tell(ranked)
    taken = client.projects.get(f"{usual}-auto").backbone
    last = ranked[-1]["name"] == USUAL and not ranked[-1]["fits"]
    lost = [100 * (auto - english) for auto, english in zip(found[f"{usual}-auto"], found[usual], strict=True)]
    return [
        Figure(f"{name}: {USUAL} is recommended against", float(last), "", 1.0, "more", f"first {ranked[0]['name']}"),
        Figure(f"{name}: accuracy on {taken}, which auto took", 100 * found[f"{usual}-auto"][0], "%"),
        Figure(f"{name}: accuracy on {USUAL}", 100 * found[usual][0], "%", note=f"loses {lost[0]:.1f}"),
        Figure(f"{name}: Matthews on {taken}", 100 * found[f"{usual}-auto"][1], ""),
        Figure(f"{name}: Matthews on {USUAL}", 100 * found[usual][1], ""),
        Figure(f"{name}: points of Matthews it loses", lost[1], "", CLEARLY, "more"),
    ]


def _learnable(rows: Sequence[Row]) -> list[Row]:
    """Without labels of a single row: those are answered wrongly then, on either backbone."""
    counts = Counter(row.label for row in rows)
    return [row for row in rows if counts[row.label] >= MIN_PER_LABEL]


def _scored(client: Client, project: str, rows: Sequence[Row], unseen: Sequence[Row]) -> tuple[float, float]:
    """Accuracy and Matthews of a head, which tells why it has its backbone."""
    client.samples.add(project, [(row.text, row.label) for row in rows])
    done = client.adaptations.wait(client.adaptations.start(project, method="head"))
    assert done.status == "succeeded", done.problem
    plan = done.raw["plan"]
    sys.stderr.write(f"{project}: {plan['reasons'][-1]}\n{done.timings}\n")
    given = [answer.label or "" for answer in client.predict(project, [row.text for row in unseen])]
    truth = [row.label for row in unseen]
    return accuracy(given, truth), matthews(given, truth)


def _tell(ranked: Sequence[dict[str, Any]]) -> None:
    for one in ranked:
        sys.stderr.write(f"  {one['name']}, fits {one['fits']}: {'; '.join(one['reasons'])}\n")
    sys.stderr.flush()

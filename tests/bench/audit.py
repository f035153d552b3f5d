"""Label errors that an audit finds through the running service: flips put in, and corrections that people made."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.sets import Row, read
from tsugiki.client import Client
from tsugiki.data.audit import search
from tsugiki.domain import MIN_PER_LABEL

FLIPPED_PART = 0.05
RECALL, PRECISION = 70.0, 50.0  # % of the flips, promised
SIZES = (1_000, 10_000, 100_000)
DIM = 384  # of MiniLM's features
SEED = 0


class Suspected(NamedTuple):
    """Of each sample sent, in order: is it suspected, and which label is suggested for it?"""

    rows: dict[int, str]
    seconds: float  # of the audit, within the adaptation
    adapted_s: float  # of the adaptation but for embedding


def measure(running: Running) -> list[Figure]:
    with Client(running.url, running.key, timeout_s=600) as client:
        return [*_flips(client), *_corrections(client), *_speed()]


def _flips(client: Client) -> list[Figure]:
    """banking77 `train`, every twentieth label exchanged for another one."""
    rows = read("banking77", "train")
    random = np.random.default_rng(SEED)
    names = sorted({row.label for row in rows})
    flipped: list[int] = random.permutation(len(rows))[: int(FLIPPED_PART * len(rows))].tolist()
    spoilt = list(rows)
    for index in flipped:
        others = [name for name in names if name != rows[index].label]
        spoilt[index] = Row(rows[index].text, others[int(random.integers(len(others)))])
    found = _suspects(client, "audit-banking77", spoilt)
    what = f"banking77 train, {len(flipped)} of {len(rows):,} labels flipped"
    right = sum(found.rows[row] == rows[row].label for row in flipped if row in found.rows)
    return [
        *_precision_recall(found.rows, flipped, what, RECALL, PRECISION),
        Figure(f"suggested label is the true one, {what}", 100 * right / len(flipped), "% of the flips"),
        Figure("audit, 10,003 samples", found.seconds, "s", note=f"of {found.adapted_s:.1f} s without embedding"),
    ]


def _corrections(client: Client) -> list[Figure]:
    """HINT3 curekart as first published; truth are the labels that its second version corrected.

    Those are all that its authors noticed, so the precision is one at least.
    """
    sent = [*read("hint3_curekart", "train_v1"), *read("hint3_curekart", "test_v1")]
    corrected = [*read("hint3_curekart", "train_v1"), *read("hint3_curekart", "test")]
    counts = Counter(row.label for row in sent)
    enough = [n for n, row in enumerate(sent) if counts[row.label] >= MIN_PER_LABEL]
    wrong = [place for place, n in enumerate(enough) if sent[n].label != corrected[n].label]
    found = _suspects(client, "audit-curekart", [sent[n] for n in enough])
    what = f"hint3_curekart v1, {len(wrong)} of {len(enough):,} corrected"
    right = sum(found.rows[row] == corrected[enough[row]].label for row in wrong if row in found.rows)
    return [
        *_precision_recall(found.rows, wrong, what, None, None),
        Figure(f"precision by chance, {what}", 100 * len(wrong) / len(enough), "%"),
        Figure(
            f"suggested label is the corrected one, {what}", 100 * right / max(len(wrong), 1), "% of the corrections"
        ),
    ]


def _precision_recall(
    found: Collection[int], wrong: Sequence[int], what: str, recall: float | None, precision: float | None
) -> list[Figure]:
    hits = len(set(found) & set(wrong))
    return [
        Figure(f"recall of suspected labels, {what}", 100 * hits / len(wrong), "%", recall, "more"),
        Figure(
            f"precision of suspected labels, {what}",
            100 * hits / max(len(found), 1),
            "%",
            precision,
            "more",
            note=f"{len(found)} suspected",
        ),
    ]


def _suspects(client: Client, project: str, rows: Sequence[Row]) -> Suspected:
    client.projects.create(project)
    batch = client.samples.add(project, [(row.text, row.label) for row in rows])
    done = client.adaptations.wait(client.adaptations.start(project))
    assert done.status == "succeeded" and done.version is not None, done.problem
    findings = client.versions.audit(project, done.version, code="label_suspect")["data"]
    suggested = {finding["sample"]: finding["suggested_label"] for finding in findings}
    found = {place: suggested[row["id"]] for place, row in enumerate(batch.rows) if row["id"] in suggested}
    adapted_s = (done.timings["total_ms"] - done.timings["embed_ms"]) / 1000
    return Suspected(found, done.timings["audit_ms"] / 1000, adapted_s)


def _speed() -> list[Figure]:
    """The dear part by itself, the search for neighbours, on rows as clustered as labelled texts."""
    figures: list[Figure] = []
    for rows in SIZES:
        random = np.random.default_rng(SEED)
        centres = random.standard_normal((rows // 50, DIM), np.float32)
        features = centres[random.integers(len(centres), size=rows)]
        features += random.standard_normal((rows, DIM), np.float32)
        started = time.perf_counter()
        near = search(features)
        how = "all pairs" if near.exact else "by cells"
        figures.append(Figure(f"neighbours of {rows:,} samples", time.perf_counter() - started, "s", note=how))
    return figures

"""Pictures and sounds: how right answers are, through the running service, on rows it never saw."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import mean
from typing import Literal, NamedTuple

import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.scores import accuracy
from tests.bench.sets import FileRow, read_files
from tsugiki.client import Client

SENT = 32  # files a request
DEEP_S = 3_600.0  # longest wait for what follows
WORTH = 1.0  # points that `auto` is to gain


class FileSet(NamedTuple):
    """`promised` of all rows by the frozen features, `few` of ten a label; `test` is the authors' split."""

    kind: Literal["image", "audio"]
    name: str
    test: str
    promised: float
    few: float | None = None


SETS = (
    FileSet("image", "hymenoptera", "val", 94.5, 88.0),
    FileSet("image", "flowers5", "test", 91.0, 79.0),
    FileSet("audio", "fsdd", "test", 99.0),
)
CLIMBED = "flowers5"  # on which `auto` is to gain a point
FEW, DRAWS = 10, 5


def measure(running: Running) -> list[Figure]:
    figures: list[Figure] = []
    with Client(running.url, running.key, timeout_s=600) as client:
        for of in SETS:
            figures += _frozen(client, of)
        figures += _climbed(client)
    return figures


def _frozen(client: Client, of: FileSet) -> list[Figure]:
    train, test = (read_files(of.kind, of.name, split) for split in ("train", of.test))
    found = 100 * _head(client, of, train, test, "all")
    figures = [Figure(f"head, {of.name}, all {len(train)}", found, "%", of.promised, "more")]
    if of.few is not None:
        drawn = [100 * _head(client, of, _drawn(train, draw), test, str(draw)) for draw in range(DRAWS)]
        spread = f"{DRAWS} draws, {min(drawn):.1f} to {max(drawn):.1f}"
        figures.append(Figure(f"head, {of.name}, {FEW} a label", mean(drawn), "%", of.few, "more", spread))
    _tell(figures)
    return figures


def _head(client: Client, of: FileSet, train: Sequence[FileRow], test: Sequence[FileRow], what: str) -> float:
    project = f"files-{of.name}-{what}"
    client.projects.create(project, modality=of.kind)
    client.samples.add(project, [(row.data, row.label) for row in train])
    done = client.adaptations.wait(client.adaptations.start(project, method="head"))
    assert done.status == "succeeded", done.problem
    return accuracy(_answers(client, project, test), [row.label for row in test])


def _climbed(client: Client) -> list[Figure]:
    of = next(one for one in SETS if one.name == CLIMBED)
    train, test = (read_files(of.kind, of.name, split) for split in ("train", of.test))
    project = f"files-{of.name}-auto"
    client.projects.create(project, modality=of.kind)
    client.samples.add(project, [(row.data, row.label) for row in train])
    first = client.adaptations.wait(client.adaptations.start(project))
    truth = [row.label for row in test]
    head = 100 * accuracy(_answers(client, project, test), truth)
    followed = [one for one in client.adaptations.list(project) if one.id != first.id]
    for one in followed:
        client.adaptations.wait(one, timeout_s=DEEP_S)
    auto = 100 * accuracy(_answers(client, project, test), truth)
    live = client.versions.get(project, client.versions.aliases(project)["live"].version)
    note = f"{live.method} beside the head's {head:.1f}"
    figures = [Figure(f"auto, {of.name}, all", auto, "%", head + WORTH, "more", note)]
    _tell(figures)
    return figures


def _answers(client: Client, project: str, rows: Sequence[FileRow]) -> list[str]:
    given: list[str] = []
    for start in range(0, len(rows), SENT):
        found = client.predict(project, [row.data for row in rows[start : start + SENT]])
        given += [answer.label or "" for answer in found]
    return given


def _drawn(rows: Sequence[FileRow], draw: int) -> list[FileRow]:
    random = np.random.default_rng(draw)
    chosen: list[FileRow] = []
    for label in sorted({row.label for row in rows}):
        of_label = [row for row in rows if row.label == label]
        chosen += [of_label[place] for place in random.permutation(len(of_label))[:FEW]]
    return chosen


def _tell(figures: Sequence[Figure]) -> None:
    sys.stderr.write("".join(f"{one.name}: {one.value} {one.unit} {one.note}\n" for one in figures))
    sys.stderr.flush()

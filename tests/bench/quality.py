"""Accuracy and calibration through the running service, on test rows it never saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.sets import Row, read
from tsugiki.client import Client, Prediction
from tsugiki.evaluation.calibration import expected_calibration_error

# set, training split, test split, accuracy promised
PROMISED = (
    ("banking77", "train_10shot", "fs_test", 86.0),
    ("clinc150", "train_10shot", "fs_test", 90.0),
    ("hwu64", "train_10shot", "fs_test", 83.0),
    ("banking77", "train", "test", 92.5),
)
MAX_ECE = 0.05


def measure(running: Running) -> list[Figure]:
    figures: list[Figure] = []
    with Client(running.url, running.key, timeout_s=600) as client:
        for name, train, test, promised in PROMISED:
            rows = read(name, test)
            answers = _answers(client, f"quality-{name}-{train}".replace("_", "-"), read(name, train), rows)
            hits = np.array([answer.label == row.label for answer, row in zip(answers, rows, strict=True)])
            what = f"{name} {train} → {test}"
            figures.append(Figure(f"accuracy, {what}", 100 * float(hits.mean()), "%", promised, "more"))
            ece = expected_calibration_error(np.array([answer.score for answer in answers]), hits)
            limit = MAX_ECE if train == "train" else None
            figures.append(Figure(f"calibration error, {what}", ece, "", limit))
    return figures


def _answers(client: Client, project: str, train: Sequence[Row], test: Sequence[Row]) -> list[Prediction]:
    client.projects.create(project)
    client.samples.add(project, [(row.text, row.label) for row in train])
    done = client.adaptations.wait(client.adaptations.start(project, method="head"))
    assert done.status == "succeeded", done.problem
    return list(client.predict(project, [row.text for row in test]))

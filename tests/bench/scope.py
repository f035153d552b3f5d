"""What a project does not know, through the running service: thresholds from its training samples alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.scores import matthews
from tests.bench.sets import Row, read
from tsugiki.client import Client, Prediction

OUT = "out_of_scope"
NO_LABEL = "NO_NODES_DETECTED"  # HINT3's word for a text out of scope, in its test rows only


class Promised(NamedTuple):
    """In-scope accuracy with abstentions counted as wrong, and the part of foreign texts told; None: reported only."""

    accuracy: float | None
    recall: float | None
    auroc: float | None


CLINC = Promised(94.5, 60.0, 0.975)  # BERT, threshold on validation: 96.2 / 52.3 (Larson et al. 2019)
REPORTED = Promised(None, None, None)
ABSTAIN = 0.9  # of hint3_curekart, whose 599 samples are too few to say what is out of scope


def measure(running: Running) -> list[Figure]:
    with Client(running.url, running.key, timeout_s=600) as client:
        clinc = read("clinc150", "train"), read("clinc150", "test"), read("clinc150", "oos_test")
        figures = _told(client, "clinc150", *clinc, CLINC)
        bank = read("banking77_oos", "train"), read("banking77_oos", "test")
        for kind in ("ood", "id"):
            foreign = read("banking77_oos", f"{kind}_oos_test")
            figures += _told(client, f"banking77_oos, {kind}", *bank, foreign, REPORTED)
        rows = read("hint3_curekart", "test")
        known = [row for row in rows if row.label != NO_LABEL]
        foreign = [row for row in rows if row.label == NO_LABEL]
        train = read("hint3_curekart", "train")
        figures += _told(client, "hint3_curekart", train, known, foreign, REPORTED)
        client.projects.update("scope-hint3-curekart", policy={"abstain": {"target_precision": ABSTAIN}})
        return figures + _told(client, f"hint3_curekart, precision {ABSTAIN}", train, known, foreign, REPORTED)


def _told(
    client: Client, name: str, train: Sequence[Row], test: Sequence[Row], foreign: Sequence[Row], promised: Promised
) -> list[Figure]:
    project = "scope-" + name.partition(",")[0].replace("_", "-")
    if project not in {known.name for known in client.projects.list()}:
        client.projects.create(project)
        client.samples.add(project, [(row.text, row.label) for row in train])
        done = client.adaptations.wait(client.adaptations.start(project))
        assert done.status == "succeeded", done.problem
    inside, outside = (list(client.predict(project, [row.text for row in rows])) for rows in (test, foreign))
    answered = np.array([one.label == row.label for one, row in zip(inside, test, strict=True)])
    best = np.array([one.scores[0].label == row.label for one, row in zip(inside, test, strict=True)])
    told = np.array([one.label is None for one in outside])
    unanswered = sum(one.label is None for one in inside)
    lost = f"{100 * best.mean():.1f} % were every text answered; {unanswered} texts were not"
    return [
        Figure(f"in scope, {name}", 100 * float(answered.mean()), "%", promised.accuracy, "more", lost),
        Figure(f"out of scope not answered, {name}", 100 * float(told.mean()), "%", promised.recall, "more"),
        Figure(f"AUROC, {name}", _auroc(inside, outside), "", promised.auroc, "more"),
        Figure(
            f"Matthews, both, {name}", _matthews([*inside, *outside], [row.label for row in test], len(outside)), ""
        ),
    ]


def _auroc(inside: Sequence[Prediction], outside: Sequence[Prediction]) -> float | None:
    """Of a text in scope being the more familiar of two; None where the version knows no scope."""
    if "familiarity" not in inside[0].raw:
        return None
    known, foreign = (np.array([one.raw["familiarity"] for one in rows]) for rows in (inside, outside))
    below = np.searchsorted(np.sort(foreign), known, side="left").sum()
    upto = np.searchsorted(np.sort(foreign), known, side="right").sum()
    return float((below + upto) / (2 * len(known) * len(foreign)))


def _matthews(answers: Sequence[Prediction], truth: Sequence[str], foreign: int) -> float:
    """Of all labels, foreign being one."""
    given = [OUT if one.label is None else one.label for one in answers]
    return matthews(given, [*truth, *[OUT] * foreign])

"""Does the gate let through what is good and hold back what is harmful? Simulated histories on real features.

The truth of a run is told by test rows that neither version nor the gate ever saw, as the served heads answer them:
harmful is a candidate that loses HARM of accuracy there and as much as HARM_ROWS of the rows compared (with a hundred
of them 10 points, from two hundred on 5), or more than half of one class; good is one of an honest history that loses
no more than SAME. What lies between is reported and held to nothing: a loss of 5 points shows in 2 of a hundred rows
now and then, which no rule can tell from chance.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.figures import Figure
from tests.bench.poison import FOUL, HONEST, Case, Labelled, Stage, draw
from tests.bench.sets import Row, read
from tsugiki.backbones.catalog import names
from tsugiki.backbones.loaded import Loaded, load
from tsugiki.data.folds import assign_folds, number_groups
from tsugiki.evaluation.gate import decide
from tsugiki.evaluation.pairing import History, pair
from tsugiki.ports import Engine
from tsugiki.runtime.engines.making import Cores, choose_engine, make
from tsugiki.training.effort import plan_effort
from tsugiki.training.fit import FittedHead, fit_head

if TYPE_CHECKING:
    from tsugiki.domain import Floats

SETS = (("clinc150", "train", "test"), ("hwu64", "train", "test"), ("banking77", "train", "test"))
MOST_A_LABEL = 100  # of the training rows: no history takes more
RUNS = int(os.environ.get("TSUGIKI_GATE_RUNS", "200"))
HARM, HARM_ROWS, LOST_CLASS, SAME = 0.05, 10, 0.5, 0.01
PASS_ROWS = 64


@dataclass(frozen=True, slots=True)
class Run:
    case: Case
    promoted: bool
    difference: float  # of accuracy on the test rows, candidate minus live
    worst_class: float  # ditto of one class's recall
    rows: int  # compared by the gate

    @property
    def harmful(self) -> bool:
        least = max(HARM, HARM_ROWS / max(self.rows, 1))
        return self.difference < -least or self.worst_class < -LOST_CLASS

    @property
    def good(self) -> bool:
        return self.case.kind in HONEST and not self.harmful and self.difference >= -SAME


def measure() -> list[Figure]:
    sets = _features()
    runs = [simulate(draw(*sets[seed % len(sets)], seed=seed)) for seed in range(RUNS)]
    harmful, good = [run for run in runs if run.harmful], [run for run in runs if run.good]
    between = [run for run in runs if not run.harmful and not run.good]
    passed, refused = [run for run in harmful if run.promoted], [run for run in good if not run.promoted]
    passing = sum(run.promoted and run.difference <= -HARM for run in between)
    figures = [
        Figure("harmful candidates promoted", _percent(passed, harmful), "%", 1, note=_of(passed, harmful)),
        Figure("good candidates refused", _percent(refused, good), "%", 5, note=_of(refused, good)),
        Figure(
            "promoted of those between",
            _percent([run for run in between if run.promoted], between),
            "%",
            note=f"{len(between)} runs; {passing} of those promoted lost {100 * HARM:g} points or more",
        ),
    ]
    for kind in (*HONEST, *FOUL):
        of = [run for run in runs if run.case.kind == kind]
        change = np.median([100 * run.difference for run in of])
        note = f"{len(of)} runs, test accuracy {change:+.1f} points at the median"
        figures.append(Figure(f"promoted: {kind}", _percent([run for run in of if run.promoted], of), "%", note=note))
    return figures


def simulate(case: Case) -> Run:
    before, now = _fit(case.live), _fit(case.candidate)
    groups = dict(zip(case.candidate.ids, case.candidate.groups, strict=True))
    pairs = pair(_history(case.live, before), _history(case.candidate, now), groups)
    was, becomes = (_answers(fitted, stage, case) for fitted, stage in ((before, case.live), (now, case.candidate)))
    changes = [float(becomes[rows].mean() - was[rows].mean()) for rows in _by_class(case)]
    promoted = decide(pairs, "head", "head").promoted
    return Run(case, promoted, float(becomes.mean() - was.mean()), min(changes), len(pairs.targets))


def _fit(stage: Stage) -> FittedHead:
    present, targets = np.unique(stage.targets, return_inverse=True)
    folds = assign_folds(targets, stage.groups, seed=0)
    effort = plan_effort(len(targets), stage.features.shape[1], len(present), None)
    return fit_head(
        stage.features,
        targets,
        folds,
        number_groups(stage.groups),
        len(present),
        effort,
        lambda stage, part: None,
        lambda: None,
    )


def _history(stage: Stage, fitted: FittedHead) -> History:
    told = {sample: str(target) for sample, target in zip(stage.ids, stage.targets.tolist(), strict=True)}
    present = np.unique(stage.targets)
    answers = present[fitted.held_out.probabilities.argmax(axis=1)].tolist()
    held: list[int] = fitted.held_out.rows.tolist()
    return History(told, {stage.ids[row]: str(answer) for row, answer in zip(held, answers, strict=True)})


def _answers(fitted: FittedHead, stage: Stage, case: Case) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each test row is answered rightly by the head that would be served."""
    present = np.unique(stage.targets)
    scores = case.test.features @ fitted.weight.T + fitted.bias
    return present[scores.argmax(axis=1)] == case.test.targets


def _by_class(case: Case) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    return [case.test.targets == target for target in np.unique(case.test.targets)]


def _features() -> list[tuple[Labelled, Labelled]]:
    with tempfile.TemporaryDirectory(prefix="tsugiki-gate-") as folder:
        loaded = load(names({})[0], {}, Path(folder))
        cores = Cores(1, len(os.sched_getaffinity(0)))
        engine = make(choose_engine("auto", loaded, cores).name, loaded, None, cores)
        found: list[tuple[Labelled, Labelled]] = []
        for name, train, test in SETS:
            rows, asked = _few(read(name, train)), read(name, test)
            labels = {label: number for number, label in enumerate(sorted({row.label for row in rows}))}
            asked = [row for row in asked if row.label in labels]
            parts = [
                Labelled(embed(loaded, engine, part), np.array([labels[row.label] for row in part]))
                for part in (rows, asked)
            ]
            found.append((parts[0], parts[1]))
        return found


def embed(loaded: Loaded, engine: Engine, rows: Sequence[Row]) -> Floats:
    """(rows, dim), by the engine that serves."""
    prepared = loaded.backbone.prepare([row.text for row in rows])
    features = np.empty((len(prepared), loaded.backbone.space.dim), np.float32)
    by_length = sorted(range(len(prepared)), key=lambda i: prepared[i].size)
    for start in range(0, len(prepared), PASS_ROWS):
        part = by_length[start : start + PASS_ROWS]
        features[part] = engine.run([prepared[i].row for i in part])
    return features


def _few(rows: Sequence[Row]) -> list[Row]:
    """Without repeats, the first MOST_A_LABEL of each label."""
    seen: Counter[str] = Counter()
    few: list[Row] = []
    for row in dict.fromkeys(rows):
        seen[row.label] += 1
        if seen[row.label] <= MOST_A_LABEL:
            few.append(row)
    return few


def _percent(part: Sequence[Run], of: Sequence[Run]) -> float | None:
    return 100 * len(part) / len(of) if of else None


def _of(part: Sequence[Run], of: Sequence[Run]) -> str:
    kinds = Counter(run.case.kind for run in part)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{len(part)} of {len(of)} runs{': ' + told if told else ''}"

"""What climbing is worth: `auto` beside the head it began with, on test rows neither saw, through the running service.

With eight samples a label SetFit learns from the same rows of the same network, in an environment of its own; so does
`lora`, which no gate would let follow a head there.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np

from service.launch import Running
from tests.bench.figures import Figure
from tests.bench.scores import accuracy, matthews
from tests.bench.serving.peers.peer import PeerFailed, install, run
from tests.bench.serving.weights import weights
from tests.bench.sets import Row, read
from tsugiki.client import Adaptation, Client

HARM = 0.3  # points that `auto` may lose to the head
WORTH = 1.0  # points that it is to gain on some sets
GAINED_ON = 4
DEEP_S = 3_600.0  # longest wait for what follows
SETFIT_DRAWS = 3
SETFIT_PART = 1 / 20  # of SetFit's time
SETFIT_S = 1_800.0  # longest run of it
PEER = Path(__file__).parent / "serving" / "peers"
MOST_TEST = 5_000  # rows: only ag_news has more, and they are drawn


class Climb(NamedTuple):
    """A set to be climbed: `per_label` rows of each label drawn `draws` times, or all. `target` is for `auto`."""

    name: str
    train: str
    test: str
    per_label: int | None = None
    draws: int = 1
    target: float | None = None

    @property
    def what(self) -> str:
        return f"{self.name} {self.train if self.per_label is None else self.per_label}"


FEW = 8
LADDER = (
    Climb("cr", "train", "test", target=89.5),
    Climb("amazon_cf_en", "train", "test", target=82.0),
    Climb("banking77", "train_10shot", "fs_test", target=88.0),
    Climb("hwu64", "train_10shot", "fs_test", target=86.0),
    Climb("clinc150", "train_10shot", "fs_test", target=93.0),
    Climb("cr", "train", "test", 64, 3),
    Climb("amazon_cf_en", "train", "test", 64, 3),
    Climb("sst5", "train", "test", 64, 3),
    Climb("sst5", "train", "test"),
    Climb("banking77", "train", "test", target=93.7),
)
FEW_SHOT = tuple(Climb(name, "train", "test", FEW, 10) for name in ("cr", "sst5", "amazon_cf_en", "ag_news"))
MATTHEWS = frozenset({"amazon_cf_en"})  # told by Matthews x 100, as its authors do: one label is rare


class Climbed(NamedTuple):
    head: float
    auto: float
    seconds: float  # from the request to the head's version
    method: str
    told: str


def measure(running: Running) -> list[Figure]:
    figures: list[Figure] = []
    gained: list[str] = []
    with Client(running.url, running.key, timeout_s=600) as client:
        for climb in LADDER:
            done = [_climb(client, climb, draw) for draw in range(climb.draws)]
            _tell(climb, done)
            head, auto = mean(one.head for one in done), mean(one.auto for one in done)
            note = "; ".join(dict.fromkeys(f"{one.method}: {one.told}" for one in done))
            figures.append(Figure(f"head, {climb.what}", head, "%"))
            figures.append(Figure(f"auto, {climb.what}", auto, "%", head - HARM, "more", note))
            if climb.target is not None:
                figures.append(Figure(f"auto, {climb.what}, to reach for", auto, "%", climb.target, "more"))
            if auto >= head + WORTH:
                gained.append(climb.what)
        note = ", ".join(gained)
        figures.append(Figure("sets on which auto gains a point", len(gained), "", GAINED_ON, "more", note))
        return figures


def measure_few(running: Running) -> list[Figure]:
    """With eight samples a label, beside SetFit."""
    with Client(running.url, running.key, timeout_s=600) as client:
        return _beside_setfit(client)


def _beside_setfit(client: Client) -> list[Figure]:
    figures: list[Figure] = []
    ours: list[float] = []
    alike: list[float] = []
    named: list[float] = []
    theirs: list[float] = []
    parts: list[float] = []
    named_parts: list[float] = []
    for climb in FEW_SHOT:
        done = [_climb(client, climb, draw) for draw in range(climb.draws)]
        ours.append(mean(one.auto for one in done))
        spread = f"{climb.draws} draws, {min(one.auto for one in done):.1f} to {max(one.auto for one in done):.1f}"
        figures.append(Figure(f"auto, {climb.what}", ours[-1], "%", note=spread))
        asked = [_asked_for(client, climb, draw) for draw in range(SETFIT_DRAWS)]
        named.append(mean(one.auto for one in asked))
        figures.append(Figure(f"lora, asked for, {climb.what}", named[-1], "%", note=f"{SETFIT_DRAWS} draws"))
        try:
            found = [_setfit(climb, draw) for draw in range(SETFIT_DRAWS)]
            _tell(climb, [*done, *asked, *found])
        except PeerFailed as failure:
            return [*figures, Figure("auto ÷ SetFit, eight a label", None, "", 1.0, "more", str(failure))]
        theirs.append(mean(score for score, _ in found))
        alike.append(mean(one.auto for one in done[:SETFIT_DRAWS]))
        note = f"auto on the same {SETFIT_DRAWS} draws {alike[-1]:.1f}"
        figures.append(Figure(f"SetFit, {climb.what}", theirs[-1], "%", note=note))
        setfit_s = median(seconds for _, seconds in found)
        parts.append(median(one.seconds for one in done) / setfit_s)
        named_parts.append(median(one.seconds for one in asked) / setfit_s)
    return [
        *figures,
        Figure(
            "mean with eight a label, auto; limit: SetFit", mean(alike), "%", mean(theirs), "more", "the same draws"
        ),
        Figure("mean with eight a label, auto, all draws", mean(ours), "%"),
        Figure("mean with eight a label, lora asked for; limit: SetFit", mean(named), "%", mean(theirs), "more"),
        Figure("longest time of auto ÷ SetFit's", max(parts), "", SETFIT_PART),
        Figure("longest time of lora asked for ÷ SetFit's", max(named_parts), "", 1.0, note="with its held-out proof"),
    ]


def _tell(climb: Climb, done: Sequence[object]) -> None:
    """At once: it takes most of an hour to the end."""
    sys.stderr.write("\n  ".join(map(str, [climb.what, *done])) + "\n")
    sys.stderr.flush()


def _climb(client: Client, climb: Climb, draw: int) -> Climbed:
    train, test = _rows(climb, draw)
    project = f"ladder-{climb.what}-{draw}".replace("_", "-").replace(" ", "-")
    client.projects.create(project)
    client.samples.add(project, [(row.text, row.label) for row in train])
    started = time.monotonic()
    first = client.adaptations.wait(client.adaptations.start(project, wait_seconds=60))
    seconds = time.monotonic() - started
    assert first.status == "succeeded", first.problem
    head = _score(client, project, climb, test)
    following = [one for one in client.adaptations.list(project) if one.raw.get("follows") == first.id]
    if not following:
        return Climbed(head, head, seconds, "head", "nothing deeper expected to pay")
    last: Adaptation = client.adaptations.wait(following[0], timeout_s=DEEP_S)
    told = last.status if last.gate is None else str(last.gate["reason"])
    chosen = "?" if last.plan is None else str(last.plan["chosen"])
    return Climbed(head, _score(client, project, climb, test), seconds, chosen, told)


def _asked_for(client: Client, climb: Climb, draw: int) -> Climbed:
    """`lora` by its name, on a project where nothing is live yet."""
    train, test = _rows(climb, draw)
    project = f"asked-{climb.what}-{draw}".replace("_", "-").replace(" ", "-")
    client.projects.create(project)
    client.samples.add(project, [(row.text, row.label) for row in train])
    started = time.monotonic()
    done = client.adaptations.wait(client.adaptations.start(project, method="lora"), timeout_s=DEEP_S)
    seconds = time.monotonic() - started
    assert done.status == "succeeded", done.problem
    found = _score(client, project, climb, test)
    return Climbed(found, found, seconds, "lora", "?" if done.gate is None else str(done.gate["reason"]))


def _rows(climb: Climb, draw: int) -> tuple[list[Row], list[Row]]:
    train, test = read(climb.name, climb.train), read(climb.name, climb.test)
    if len(test) > MOST_TEST:
        test = [test[int(place)] for place in np.random.default_rng(0).permutation(len(test))[:MOST_TEST]]
    if climb.per_label is None:
        return train, test
    random = np.random.default_rng(draw)
    labels = sorted({row.label for row in train})
    places = [[place for place, row in enumerate(train) if row.label == label] for label in labels]
    chosen = np.concatenate([random.choice(of_label, climb.per_label, replace=False) for of_label in places])
    return [train[place] for place in chosen.tolist()], test


def _score(client: Client, project: str, climb: Climb, test: Sequence[Row]) -> float:
    """The best label's, whatever its outcome: what is not answered is another figure."""
    given = [one.scores[0].label for one in client.predict(project, [row.text for row in test])]
    return score(given, [row.label for row in test], climb)


def score(given: Sequence[str], truth: Sequence[str], climb: Climb) -> float:
    return 100 * (matthews if climb.name in MATTHEWS else accuracy)(given, truth)


def _setfit(climb: Climb, draw: int) -> tuple[float, float]:
    """Score and seconds of its training. Raises PeerFailed."""
    train, test = _rows(climb, draw)
    python = install(PEER / "setfit.txt", Path("bench-results") / "peers")
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.json", Path(folder) / "answered.json"
        rows = {"weights": str(weights()), "train": [asdict(r) for r in train], "test": [r.text for r in test]}
        asked.write_text(json.dumps(rows | {"seed": draw}))
        run([str(python), str(PEER / "setfit_run.py"), str(asked), str(answered)], SETFIT_S)
        found = json.loads(answered.read_text())
    return score(found["labels"], [row.label for row in test], climb), found["seconds"]

"""Replies with names. `raw` is the JSON object as it came, with every field the service sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

from tsugiki.client.problem import TsugikiProblem, problem_of
from tsugiki.client.transport import Json

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    modality: str
    task: str
    backbone: str
    labels: tuple[str, ...]
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Project:
        labels = tuple(label["name"] for label in raw.get("labels") or ())
        return cls(raw["id"], raw["name"], raw["modality"], raw["task"], raw["backbone"], labels, raw)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """What became of samples, counted; `rows` says it for each, with its issues, by `index` as given."""

    accepted: int
    duplicates: int
    quarantined: int
    rejected: int
    rows: tuple[Json, ...]
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> SampleBatch:
        return cls(
            accepted=raw["accepted"],
            duplicates=raw["duplicates"],
            quarantined=raw["quarantined"],
            rejected=raw["rejected"],
            rows=tuple(raw["data"]),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Adaptation:
    """One job that turns samples into a version. `problem` is why it failed, where it did."""

    id: str
    project: str
    status: Status
    phase: str
    version: int | None
    plan: Json | None
    gate: Json | None
    problem: TsugikiProblem | None
    timings: Json
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Adaptation:
        return cls(
            id=raw["id"],
            project=raw["project"],
            status=raw["status"],
            phase=raw["phase"],
            version=raw.get("version"),
            plan=raw.get("plan"),
            gate=raw.get("gate"),
            problem=_problem(raw),
            timings=raw.get("timings") or {},
            raw=raw,
        )

    @property
    def finished(self) -> bool:
        return self.status in FINAL

    @property
    def follows(self) -> str | None:
        """The adaptation by `auto` that this one goes on from, by a deeper method."""
        return self.raw.get("follows")

    @property
    def eta_s(self) -> float | None:
        """While it trains, how long it will still take by the plan's estimate; else None."""
        return self.raw["progress"].get("eta_seconds")

    @property
    def promoted(self) -> bool:
        """Whether the gate let the version go live."""
        return bool(self.gate and self.gate["promoted"])


@dataclass(frozen=True, slots=True)
class Adapted:
    """Reply of the verb adapt: where, what became of the samples, and the job."""

    project: Project
    samples: SampleBatch
    adaptation: Adaptation
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Adapted:
        return cls(Project.of(raw["project"]), SampleBatch.of(raw["samples"]), Adaptation.of(raw["adaptation"]), raw)


class Score(NamedTuple):
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input's answer: `label` is None unless the outcome is `label`; a bad input has `problem` and nothing else.

    In a multi_label project `labels` are all that apply, perhaps none, and `label` the best of them: an outcome of
    `label` without any says that none applies. Else `labels` has `label` alone.
    """

    index: int
    outcome: Literal["label", "abstain", "out_of_scope"] | None
    label: str | None
    labels: tuple[str, ...]
    score: float | None
    scores: tuple[Score, ...]
    truncated: bool
    problem: TsugikiProblem | None
    raw: Json

    @classmethod
    def of(cls, raw: Json, first_index: int = 0) -> Prediction:
        return cls(
            index=first_index + raw["index"],
            outcome=raw.get("outcome"),
            label=raw.get("label"),
            labels=tuple(raw["labels"] if "labels" in raw else filter(None, [raw.get("label")])),
            score=raw.get("score"),
            scores=tuple(Score(score["label"], score["score"]) for score in raw.get("scores") or ()),
            truncated=raw.get("truncated", False),
            problem=_problem(raw),
            raw=raw,
        )

    @property
    def familiarity(self) -> float | None:
        """Below 0 where the input is out of the version's scope; None where the version has none."""
        return self.raw.get("familiarity")

    @property
    def set_score(self) -> float | None:
        """How sure all of `labels` are, and that no other applies; None but in a multi_label project."""
        return self.raw.get("set_score")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers in the order of the inputs, all by one version. A sequence of Prediction."""

    project: str
    version: int
    alias: str | None
    method: str
    rows: tuple[Prediction, ...]
    raw: tuple[Json, ...]  # one reply for each 1,024 inputs

    @classmethod
    def of(cls, replies: list[Json]) -> Predictions:
        rows: list[Prediction] = []
        for reply in replies:
            first_index = len(rows)
            rows += [Prediction.of(row, first_index) for row in reply["data"]]
        first = replies[0]
        return cls(first["project"], first["version"], first.get("alias"), first["method"], tuple(rows), tuple(replies))

    @property
    def labels(self) -> list[str | None]:
        return [row.label for row in self.rows]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Prediction: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Prediction, ...]: ...
    def __getitem__(self, place: int | slice) -> Prediction | tuple[Prediction, ...]:
        return self.rows[place]


@dataclass(frozen=True, slots=True)
class Version:
    """A published graft; `metrics` is the headline of its evaluation."""

    number: int
    digest: str
    method: str
    backbone: str
    labels: tuple[str, ...]
    metrics: Json
    created_at: str
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Version:
        fields = (raw["version"], raw["digest"], raw["method"], raw["backbone"], tuple(raw["labels"]))
        return cls(*fields, metrics=raw["metrics"], created_at=raw["created_at"], raw=raw)


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    version: int
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Alias:
        return cls(raw["name"], raw["version"], raw)


@dataclass(frozen=True, slots=True)
class Export:
    """A version as files; `parity` says how its answers stand beside the service's. `sha256` is of the zip."""

    id: str
    status: Status
    bytes: int | None
    sha256: str | None
    parity: Json | None
    problem: TsugikiProblem | None
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Export:
        return cls(raw["id"], raw["status"], raw.get("bytes"), raw.get("sha256"), raw.get("parity"), _problem(raw), raw)

    @property
    def finished(self) -> bool:
        return self.status in FINAL


def _problem(raw: Json) -> TsugikiProblem | None:
    return problem_of(raw["error"]) if raw.get("error") else None

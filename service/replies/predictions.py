"""Predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import problem
from tsugiki.errors import TsugikiError

from .lists import Object

if TYPE_CHECKING:
    from tsugiki.domain import Prediction
    from tsugiki.runtime.predictor import Answered


class ScoreReply(TypedDict):
    label: str
    score: float


class PredictionReply(TypedDict):
    """One row; a bad one has `index` and `error`, a problem, and nothing else."""

    index: int
    outcome: NotRequired[Literal["label", "abstain", "out_of_scope"]]
    label: NotRequired[Annotated[str | None, Field(description="null unless the outcome is `label`")]]
    labels: NotRequired[
        Annotated[list[str], Field(description="of a multi_label project: all that apply; none where not answered")]
    ]
    set_score: NotRequired[
        Annotated[
            float,
            Field(
                description="of a multi_label project: how sure the set of labels is, those not given too, as if they "
                "had nothing to do with one another; what `abstain` is decided by"
            ),
        ]
    ]
    score: NotRequired[Annotated[float, Field(description="of the best label, calibrated")]]
    scores: NotRequired[Annotated[list[ScoreReply], Field(description="`top_k`, the best first")]]
    truncated: NotRequired[Annotated[bool, Field(description="the input was longer than the network reads")]]
    familiarity: NotRequired[
        Annotated[
            float,
            Field(
                description="how much nearer the input is to the samples than the version's scope ends: below 0 it "
                "is out of it (`out_of_scope`); absent where the version has no scope"
            ),
        ]
    ]
    error: NotRequired[Object]


class PredictionList(TypedDict):
    object: Literal["prediction.list"]
    project: str
    version: int
    alias: str | None
    method: str
    data: list[PredictionReply]
    usage: Object


def predictions(answered: Answered, top_k: int, instance: str, request_id: str) -> PredictionList:
    """`instance` and `request_id` are for the problems of bad rows."""
    target = answered.target
    return {
        "object": "prediction.list",
        "project": target.project.name,
        "version": target.version.number,
        "alias": target.alias,
        "method": target.version.method,
        "data": [prediction(index, row, top_k, instance, request_id) for index, row in enumerate(answered.rows)],
        "usage": {"inputs": len(answered.rows), "tokens": answered.tokens},
    }


def prediction(
    index: int, row: Prediction | TsugikiError, top_k: int, instance: str, request_id: str
) -> PredictionReply:
    if isinstance(row, TsugikiError):
        return {"index": index, "error": problem(row, instance=instance, request_id=request_id)}
    told: PredictionReply = {
        "index": index,
        "outcome": row.outcome,
        "label": row.label,
        "score": row.score,
        "scores": [{"label": label, "score": score} for label, score in row.scores[:top_k]],
        "truncated": row.truncated,
    }
    if row.labels is not None:
        told["labels"] = list(row.labels)
    if row.set_score is not None:
        told["set_score"] = row.set_score
    if row.familiarity is not None:
        told["familiarity"] = row.familiarity
    return told

"""Predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from service.errors import problem
from tsugiki.errors import TsugikiError

from .lists import Object

if TYPE_CHECKING:
    from tsugiki.domain import Prediction
    from tsugiki.runtime.predictor import Answered


class PredictionList(TypedDict):
    object: Literal["prediction.list"]
    project: str
    version: int
    alias: str | None
    method: str
    data: list[Object]
    usage: Object


def predictions(answered: Answered, top_k: int) -> PredictionList:
    target = answered.target
    return {
        "object": "prediction.list",
        "project": target.project.name,
        "version": target.version.number,
        "alias": target.alias,
        "method": target.version.method,
        "data": [prediction(index, row, top_k) for index, row in enumerate(answered.rows)],
        "usage": {"inputs": len(answered.rows), "tokens": answered.tokens},
    }


def prediction(index: int, row: Prediction | TsugikiError, top_k: int) -> Object:
    if isinstance(row, TsugikiError):
        return {"index": index, "error": problem(row)}
    return {
        "index": index,
        "outcome": row.outcome,
        "label": row.label,
        "score": row.score,
        "scores": [{"label": label, "score": score} for label, score in row.scores[:top_k]],
        "truncated": row.truncated,
        **({} if row.familiarity is None else {"familiarity": row.familiarity}),
    }

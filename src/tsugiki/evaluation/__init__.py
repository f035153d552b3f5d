"""Evaluation: how good a version is, how sure that is, and whether it may go live."""

from tsugiki.evaluation.gate import compare
from tsugiki.evaluation.report import evaluate

__all__ = ["compare", "evaluate"]

"""Evaluation: how good a version is, how sure that is, and whether it may go live."""

from tsugiki.evaluation.gate import decide
from tsugiki.evaluation.pairing import History, pair
from tsugiki.evaluation.report import evaluate
from tsugiki.evaluation.scope import find_scope, find_set_scope

__all__ = ["History", "decide", "evaluate", "find_scope", "find_set_scope", "pair"]

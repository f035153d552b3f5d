"""Lists are read in pages, ordered by id: `after` is the last id of the page before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tsugiki.errors import Invalid

T = TypeVar("T")
R = TypeVar("R")

MAX_PAGE = 100  # the interface promises pages of at most so many


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    data: tuple[T, ...]
    has_more: bool


def one_more(limit: int) -> int:
    """How many rows to ask for: the one beyond `limit` tells whether there is a next page. Raises Invalid."""
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(f"limit {limit} is outside 1..{MAX_PAGE}", code="limit_out_of_range")
    return limit + 1


def cut(rows: Sequence[R], limit: int, convert: Callable[[R], T]) -> Page[T]:
    return Page(tuple(convert(row) for row in rows[:limit]), len(rows) > limit)

"""The head bank: thousands of small classifiers stacked in a few large arrays.

A head with a scope stores one extra row for each class mean m: weight 2m, bias -|m|^2. One matrix product then yields
both the logits and, up to -|x|^2, the negative squared distance to each mean.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.domain import SOFTENED
from tsugiki.errors import TsugikiError, WrongFeatureSpace
from tsugiki.runtime.route import Bounds, Route, Slot

if TYPE_CHECKING:
    from tsugiki.domain import Floats, Graft

PAGE_BYTES = 4 << 20  # one allocation for some thousand class rows; a larger head gets a page, which goes with it


class StaleSlot(TsugikiError):
    """A route names a slot that was given to another head since: the row must be resolved anew."""

    code = "stale_slot"


class HeadBank:
    """Heads of one feature space, each a run of class rows in a page, already divided by their temperature.

    A slot is written once. Freed, its rows are reused under a new generation, which every row of a pass is checked
    against: a stale route gets `StaleSlot`, never another tenant's answer. Thread-safe.
    """

    def __init__(self, feature_space: str, dim: int) -> None:
        self.feature_space = feature_space
        self._dim = dim
        self._page_rows = PAGE_BYTES // (dim * 4)
        self._lock = threading.Lock()
        self._pages: list[_Page] = []
        self._generations = 0

    @property
    def resident_bytes(self) -> int:
        """Memory the pages hold, used or not."""
        return sum(page.weight.nbytes + page.bias.nbytes + page.owner.nbytes for page in self._pages)

    def load(self, graft: Graft) -> Slot:
        """Copy a graft's head in. Raises WrongFeatureSpace (I8)."""
        if graft.feature_space != self.feature_space:
            raise WrongFeatureSpace(
                f"the head was fitted in {graft.feature_space}, this bank serves {self.feature_space}",
                fix="adapt the project again on the present backbone",
            )
        head, scope = graft.head, graft.head.scope
        classes = len(head.labels)
        bounds = None if scope is None else Bounds(scope.certainty, scope.least, len(scope.means))
        with self._lock:
            self._generations += 1
            number, start = self._allocate(classes if scope is None else classes + len(scope.means))
            slot = Slot(number, start, classes, self._generations, bounds, head.thresholds)
            page = self._pages[number]
            rows = slice(start, start + classes)
            page.weight[rows] = head.weight / np.float32(head.temperature)
            page.bias[rows] = head.bias / np.float32(head.temperature)
            if scope is not None:
                behind = slice(start + classes, start + slot.rows)
                page.weight[behind] = 2.0 * scope.means
                page.bias[behind] = -(scope.means * scope.means).sum(axis=1)
            page.owner[start : start + slot.rows] = slot.generation
            return slot

    def free(self, slot: Slot) -> None:
        """Give the slot's rows back. Only when no row of it is in flight."""
        with self._lock:
            page = self._pages[slot.page]
            page.owner[slot.start : slot.start + slot.rows] = 0
            page.release(slot.start, slot.rows)
            if page.vacant and page.rows > self._page_rows:
                self._pages[slot.page] = _Page.empty(0, self._dim)  # the next head so large is hardly of the same size

    def probabilities(self, routes: Sequence[Route], features: Floats) -> list[Floats | StaleSlot]:
        """Features (rows, dim) -> each row's probabilities over its own head's classes, in label order.

        Where its labels stand alone as many numbers follow: how far each label is above its threshold, and below 0 it
        is not given. Where the head has a scope one more number follows: how far above the least familiarity the row
        is, and below 0 it is out of scope.
        Rows of one head share a matrix product on the page itself, so no weight is copied.
        Raises WrongFeatureSpace.
        """
        replies: list[Floats | StaleSlot] = [StaleSlot("not computed")] * len(routes)
        if any(route.feature_space != self.feature_space for route in routes):
            raise WrongFeatureSpace(f"a route of another feature space reached the bank of {self.feature_space}")
        lengths = np.einsum("rd,rd->r", features, features) if any(route.slot.bounds for route in routes) else None
        for slot, rows in _by_slot(routes).items():
            page = self._pages[slot.page]
            span = slice(slot.start, slot.start + slot.rows)
            # Of many tenants most have one row in a pass: a slice of it is a view, a list of one row copies.
            own = rows if len(rows) > 1 else slice(rows[0], rows[0] + 1)
            products = features[own] @ page.weight[span].T
            products += page.bias[span]
            # Checked after the weights were read: a slot rewritten meanwhile has another owner by now.
            if not self._owns(page, slot):
                stale = StaleSlot(f"slot {slot.page}:{slot.start} is no longer generation {slot.generation}")
                for row in rows:
                    replies[row] = stale
                continue
            known = None if slot.bounds is None or lengths is None else _Known(slot.bounds, lengths[own])
            if slot.thresholds is not None:
                found = _each(products, slot.thresholds, known)
            else:
                found = _softmax(products) if known is None else _scoped(products, slot.classes, known)
            for row, reply in zip(rows, found, strict=True):
                replies[row] = reply
        return replies

    def _owns(self, page: _Page, slot: Slot) -> bool:
        return slot.start < page.rows and int(page.owner[slot.start]) == slot.generation

    def _allocate(self, rows: int) -> tuple[int, int]:
        for number, page in enumerate(self._pages):
            if (start := page.reserve(rows)) is not None:
                return number, start
        number = next((number for number, page in enumerate(self._pages) if not page.rows), len(self._pages))
        page = _Page.empty(max(rows, self._page_rows), self._dim)
        self._pages[number : number + 1] = [page]
        start = page.reserve(rows)
        assert start is not None, "a new page holds the head it was made for; this is a bug"
        return number, start


@dataclass(slots=True)
class _Page:
    weight: Floats
    bias: Floats
    owner: np.ndarray[tuple[int], np.dtype[np.int64]]  # generation each class row belongs to, 0 when free
    gaps: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # free (start, rows), by start

    @staticmethod
    def empty(rows: int, dim: int) -> _Page:
        weight, bias = np.zeros((rows, dim), np.float32), np.zeros(rows, np.float32)
        return _Page(weight, bias, np.zeros(rows, np.int64), [(0, rows)] if rows else [])

    @property
    def rows(self) -> int:
        return len(self.owner)

    @property
    def vacant(self) -> bool:
        return self.gaps == [(0, self.rows)]

    def reserve(self, rows: int) -> int | None:
        """First gap that fits."""
        for index, (start, free) in enumerate(self.gaps):
            if free >= rows:
                self.gaps[index : index + 1] = [(start + rows, free - rows)] if free > rows else []
                return start
        return None

    def release(self, start: int, rows: int) -> None:
        merged: list[tuple[int, int]] = []
        for gap_start, gap_rows in sorted([*self.gaps, (start, rows)]):
            if merged and merged[-1][0] + merged[-1][1] == gap_start:
                merged[-1] = (merged[-1][0], merged[-1][1] + gap_rows)
            else:
                merged.append((gap_start, gap_rows))
        self.gaps = merged


def _by_slot(routes: Sequence[Route]) -> dict[Slot, list[int]]:
    rows: dict[Slot, list[int]] = {}
    for row, route in enumerate(routes):
        rows.setdefault(route.slot, []).append(row)
    return rows


@dataclass(frozen=True, slots=True)
class _Known:
    """What tells a scope's margins besides nearness: `lengths` (rows,) are the rows' own, squared."""

    bounds: Bounds
    lengths: Floats

    def margins(self, nearness: Floats, certainty: Floats) -> Floats:
        """`nearness` (rows, means) and `certainty` (rows,) -> (rows,)."""
        bounds = self.bounds
        return nearness.max(axis=1) - self.lengths + bounds.certainty * certainty - bounds.least


def _scoped(products: Floats, classes: int, known: _Known) -> Floats:
    """Logits and nearness (rows, classes + means) -> probabilities and the margin to the scope, (rows, classes + 1)."""
    logits = products[:, :classes]
    softened = logits - logits.max(axis=1, keepdims=True)
    softened *= np.float32(1.0 / SOFTENED)
    np.exp(softened, out=softened)
    found = np.empty((len(products), classes + 1), np.float32)
    found[:, -1] = known.margins(products[:, classes:], 1.0 / softened.sum(axis=1))
    # Of exponentials, which cost most, one is enough: SOFTENED is 3, and exp(x / 3)**3 is exp(x).
    chances = softened * softened * softened
    np.divide(chances, chances.sum(axis=1, keepdims=True), out=found[:, :-1])
    return found


def _each(products: Floats, thresholds: Floats, known: _Known | None) -> Floats:
    """Logits and perhaps nearness (rows, classes + means) -> probabilities, how far they are above the thresholds, and
    perhaps the margin to the scope, (rows, 2 * classes + 1).
    """
    classes = len(thresholds)
    logits = products[:, :classes]
    found = np.empty((len(logits), 2 * classes + (known is not None)), np.float32)
    small = np.exp(-np.abs(logits))  # never of a large number
    np.divide(np.where(logits >= 0, np.float32(1), small), 1 + small, out=found[:, :classes])
    np.subtract(found[:, :classes], thresholds, out=found[:, classes : 2 * classes])
    if known is not None:
        found[:, -1] = known.margins(products[:, classes:], found[:, :classes].max(axis=1))
    return found


def _softmax(logits: Floats) -> Floats:
    """Row-wise, in place on a fresh array (rows, classes)."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits

"""Features turned onto their principal axes: an exact change of variables that makes the head's problem easy.

A penalty on the squared norm of the weights does not change under a rotation, and an unpenalised bias absorbs the
mean. So fitting on rotated, centred features gives the very same head; but there the curvature of the problem is
nearly diagonal, and with fewer rows than dimensions (few-shot) only as many columns as rows are left.
Labels are never looked at: turning all rows at once tells a fold nothing about the rows it holds out.

Where a feature is joined of several parts, those may be evened first, so that each moves alike. That is another
penalty, so another head; whether it is the better one is asked of held-out rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsugiki.domain import Floats

CHUNK_ROWS = 8_192  # a chunk of 384 float32 columns is 12 MiB: past the caches' reach nothing is gained
FLAT = 1e-10  # axes with less than this part of the largest variance are float32 rounding, not data


@dataclass(frozen=True, slots=True)
class Rotation:
    """z = (x - mean) @ basis, of mean square norm 1.

    `mean` (dim,) and `basis` (dim, axes) are float32; `axes` is at most min(rows, dim), and 0 if all rows are equal.
    """

    mean: Floats
    basis: Floats

    @property
    def axes(self) -> int:
        return self.basis.shape[1]

    def apply(self, features: Floats) -> Floats:
        """(rows, dim) -> (rows, axes + 1); the last column is the ones which carry the bias."""
        turned = np.ones((len(features), self.axes + 1), np.float32)
        for part in _chunks(len(features)):
            turned[part, :-1] = (features[part] - self.mean) @ self.basis
        return turned

    def undo(self, weights: Floats) -> Floats:
        """Weights on turned rows (classes, axes + 1) -> weights on features (classes, dim + 1), the bias last."""
        weight = weights[:, :-1] @ self.basis.T
        bias = weights[:, -1] - weight @ self.mean
        return np.concatenate([weight, bias[:, None]], axis=1)


def evened(features: Floats, widths: Sequence[int]) -> Floats:
    """What to multiply features with, (dim,) float32, so that each of their parts, of `widths`, moves alike.

    By the mean square distance of `features` (rows, dim) from their mean; a part that does not move is left as it is.
    """
    rows, dim = features.shape
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = sum((np.square(features[p] - mean).sum(axis=0, dtype=np.float64) for p in _chunks(rows)), np.zeros(dim))
    spread = np.add.reduceat(squares, np.cumsum([0, *widths[:-1]])) / rows
    moves = spread > FLAT * spread.max()
    return np.repeat(np.where(moves, spread, 1.0) ** -0.5, widths).astype(np.float32)


def principal_axes(features: Floats, stretch: Floats | None = None) -> Rotation:
    """The rotation for finite `features` (rows, dim) float32, by an eigendecomposition of min(rows, dim)^3 work.

    `stretch` (dim,): features are multiplied with it first, if it is given.
    """
    rows, dim = features.shape
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    factors = np.ones(dim, np.float32) if stretch is None else stretch
    moved = (np.square((features[p] - mean) * factors) for p in _chunks(rows))
    square_norm = sum(float(of_part.sum(dtype=np.float64)) for of_part in moved) / rows
    if square_norm == 0.0:
        return Rotation(mean, np.zeros((dim, 0), np.float32))
    scale: Floats = factors * np.float32(square_norm**-0.5)
    if rows < dim:
        # In double precision: here the axes are quotients, and small variances would bring skew ones.
        centred = (features.astype(np.float64) - mean) * scale
        variances, axes = np.linalg.eigh(centred @ centred.T)
        kept = variances > FLAT * variances[-1]
        basis = (centred.T @ (axes[:, kept] / np.sqrt(variances[kept]))).astype(np.float32)
    else:
        covariance = np.zeros((dim, dim))
        for part in _chunks(rows):
            centred = (features[part] - mean) * scale
            covariance += centred.T @ centred
        variances, axes = np.linalg.eigh(covariance)
        basis = axes[:, variances > FLAT * variances[-1]].astype(np.float32)
    return Rotation(mean, basis * scale[:, None])


def _chunks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, CHUNK_ROWS):
        yield slice(start, start + CHUNK_ROWS)

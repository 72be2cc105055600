"""A few lags of a running product, and what is measured of them together: norms, largest entries, what stands for the rows left out."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg.blas import idamax

from .scaled import frobenius, largest_entry

__all__ = ["Chunk", "measured_together", "row_norms"]

_PIECE = 2**14
"""Entries that are measured at a time: they stay in the level-2 cache."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive lags: `matrices`[k] 2**exponent is the flow over lag `first` + k, shape (lags, rows, joint state).

    norms, largest and floors are arrays over the same lags, in the units of the matrices. Where there are none (of a product that does not
    keep them), `exponent` is an array, too.

    left_out   how many of the matrices' last rows stand for what was left out (`lowrank`); tails are their norms
    """

    first: int
    matrices: np.ndarray
    exponent: int | np.ndarray
    norms: np.ndarray
    largest: np.ndarray
    floors: np.ndarray
    tails: np.ndarray
    left_out: int = 0

    def after(self, lag):
        """The same without its lags up to `lag`."""
        k = max(0, lag + 1 - self.first)
        cut = {name: v[k:] for name, v in vars(self).items() if isinstance(v, np.ndarray)}
        return replace(self, first=self.first + k, **cut)

    @property
    def ratio(self):
        """Largest norm of what was left out, relative to the whole."""
        return _ratio(self.tails, self.norms)

    def measure(self, matrices):
        """(norms, largest entries, ratio) of flows (lags, rows, units) made of the matrices by products from the right."""
        flat = np.ascontiguousarray(matrices).reshape(len(matrices), -1)
        if not self.left_out:
            return *_norms_and_entries(flat), 0.0
        norms, tails = row_norms(flat), row_norms(np.ascontiguousarray(matrices[:, -self.left_out:]).reshape(len(matrices), -1))
        return norms, np.full(len(norms), np.nan), _ratio(tails, norms)

    @property
    def measured(self):
        """(lags, 4): norm, largest entry, which is not known where rows were left out, floor, exponent."""
        entries = np.full(len(self.norms), np.nan) if self.left_out else self.largest
        return np.stack([self.norms, entries, self.floors, np.full(len(self.norms), self.exponent, float)], axis=1)


def _ratio(tails, norms):
    return float(np.max(tails / np.where(norms > 0, norms, 1.0)))


def measured_together(products, left_out):
    """(norms, norms of the rows for what was left out, norms of the random row, largest entries) of each of several products. With rows
    left out nobody asks for the largest entry, and the norm stands for it."""
    count = len(products)
    flat, n = products.reshape(count, -1), products.shape[2]
    if left_out:
        tails, probes = _squares(flat[:, -n * (1 + left_out):-n]), _squares(flat[:, -n:])
        norms = _squares(flat[:, :-n * (1 + left_out)]) + tails
        if 1e-280 < probes.min() and 1e-280 < norms.min() and norms.max() < 1e280:
            norms = np.sqrt(norms)
            return norms, np.sqrt(tails), np.sqrt(probes), norms
    norms, entries = _norms_and_entries(flat[:, :-n])
    tails = row_norms(flat[:, -n * (1 + left_out):-n]) if left_out else np.zeros(count)
    return norms, tails, row_norms(flat[:, -n:]), entries


def _norms_and_entries(flats):
    """(norm, largest entry) of each row, two arrays; of long rows in pieces that the level-2 cache holds."""
    if flats.shape[1] <= _PIECE:
        norms = row_norms(flats)
        return norms, np.array([abs(f[idamax(f)]) if math.isfinite(n) else largest_entry(f) for f, n in zip(flats, norms, strict=True)])
    norms, entries = [], []
    for flat in flats:
        square = largest = 0.0
        for piece in (flat[k:k + _PIECE] for k in range(0, len(flat), _PIECE)):
            square += float(piece.dot(piece))
            largest = max(largest, abs(float(piece[idamax(piece)])))
        fine = 1e-280 < square < 1e280
        norms.append(math.sqrt(square) if fine else frobenius(flat))
        entries.append(largest if fine else largest_entry(flat))
    return np.array(norms), np.array(entries)


def row_norms(flats):
    """Norm of each row; scaled first where the squares would leave the range of float64."""
    squares = _squares(flats)
    if 1e-280 < squares.min() and squares.max() < 1e280:
        return np.sqrt(squares)
    return np.array([math.sqrt(s) if 1e-280 < s < 1e280 else frobenius(f) for s, f in zip(squares.tolist(), flats, strict=True)])


def _squares(flats):
    """Squared norm of each row: one product of BLAS each."""
    return np.matmul(flats[:, None], flats[:, :, None])[:, 0, 0]

"""Spectral norms of the state flow at every lag: the largest factor by which an error vector can grow on its way back.

A few left singular vectors are carried from lag to lag and improved by block iteration; what they leave of the Frobenius norm bounds
what they can have missed, so that every number comes with a proved error, to which that of rows left out (`lowrank`) is added as it is
estimated. Where the bound does not close (many singular values of one size, as at short lags) the eigenvalues of P P^T are computed.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..step import Step
from . import lowrank
from .norms import end_and_lags
from .product import StateProduct

__all__ = ["SpectralNorms", "TopSingularValue", "spectral_norms"]


@dataclass(frozen=True)
class SpectralNorms:
    """Spectral norms of d state(t)/d state(t-q) of one sequence.

    lags             (L,) ints, ascending
    log10_norm       (L,) log10 of the largest singular value, -inf where the flow is exactly zero
    relative_error   (L,) bound on the relative error of the norm against the computed product, with what was left out of it as estimated
    decomposed       (L,) True where all singular values were computed
    log10_floor      (L,) log10 of what rounding alone can leave in the product
    gradient         "full" or "truncated"
    """

    lags: np.ndarray
    log10_norm: np.ndarray
    relative_error: np.ndarray
    decomposed: np.ndarray
    log10_floor: np.ndarray
    gradient: str


class TopSingularValue:
    """Largest singular value of one matrix after the other, each much like the last: warm-started block iteration with a residual test.

    With orthonormal U, M = U^T G U (G = P P^T) of eigenvalues theta, residuals E = G U - U M, and R = |P|_F^2 - sum theta, the trace of
    what U misses: every eigenvalue of G is at most the larger one of

        [[theta_1, |e_1|], [|e_1|, mu]],   mu the larger eigenvalue of [[theta_2, |E_2|], [|E_2|, R]]

    and likewise of [[theta_1, |E|], [|E|, R]]; the smaller of the two bounds counts. Raises nothing: where the bound stays above
    `tolerance` the eigenvalues of G are computed.
    """

    def __init__(self, rows, columns, tolerance=1e-9, block=8, rounds=6):
        self.tolerance, self.rounds = tolerance, rounds
        self.block = min(block, rows, columns)
        self.U = np.linalg.qr(np.random.default_rng(0).normal(size=(rows, self.block)))[0]

    def __call__(self, matrix, norm):
        """(largest singular value, bound on its relative error, decomposed) of a matrix with Frobenius norm `norm`, in its range."""
        if norm == 0.0:
            return 0.0, 0.0, False
        scaled = 1.0 / norm
        for _ in range(self.rounds):
            rows = np.matmul(self.U.T, matrix) * scaled
            theta, V = np.linalg.eigh(rows @ rows.T)
            theta, V = theta[::-1], V[:, ::-1]
            moved = np.matmul(matrix, (V.T @ rows).T) * scaled  # G U V
            self.U = self.U @ V
            residual = moved - self.U * theta
            missed = max(1.0 - theta.sum(), 0.0) + _TRACE_ROUNDING
            error = _excess(theta, residual, missed) / (2 * theta[0])
            self.U = np.linalg.qr(moved)[0]
            if error <= self.tolerance:
                return norm * math.sqrt(theta[0]), error, False
            if missed >= theta[0]:
                break
        return float(_by_gram(matrix[None], np.array([norm]))[0]), _TRACE_ROUNDING * len(matrix), True


def _by_gram(matrices, norms):
    """Largest singular value of each matrix, by all eigenvalues of P P^T; Frobenius norms are given."""
    scaled = matrices / np.where(norms > 0, norms, 1.0)[:, None, None]
    return norms * np.sqrt(np.maximum(np.linalg.eigvalsh(np.matmul(scaled, scaled.swapaxes(1, 2)))[:, -1], 0.0))


_TRACE_ROUNDING = 64 * np.finfo(float).eps
"""Rounding of the sums of squares whose difference is R, both 1 after scaling: their errors grow like the root of the number of terms."""


def _excess(theta, residual, missed):
    """By how much the largest eigenvalue can be above theta[0]."""
    squares = np.einsum("ij,ij->j", residual, residual)
    whole = _larger(theta[0], squares.sum(), missed)
    if len(theta) == 1:
        return whole
    mu = theta[1] + _larger(theta[1], squares[1:].sum(), missed)
    return min(whole, _larger(theta[0], squares[0], mu))


def _larger(theta, square, other):
    """Larger eigenvalue of [[theta, e], [e, other]], e^2 = square, minus theta, without cancellation."""
    half = (theta - other) / 2
    root = math.hypot(half, math.sqrt(square))
    return square / (half + root) if half > 0 else root - half


def spectral_norms(trajectory, lags, *, b=0, end=None, cut=(), tolerance=1e-9, exact=False):
    """SpectralNorms of d state(t)/d state(t-q), q = 1 ... lags: their largest singular values.

        |e J(t) J(t-1) ... J(t-q+1)| <= norm(q) |e|,   with equality for one error e

    Relative error at most `tolerance`, and said at every lag; `exact` decomposes every product (SVD). Full unless `cut`. Directions that
    have fallen behind are left out as in `state_flow`, but where `exact`.
    """
    end, lags = end_and_lags(trajectory, end, lags)
    step = Step(trajectory, cut)
    top = None

    def measure(chunk):
        nonlocal top
        if np.isnan(chunk.norms).any():
            raise ValueError(f"{trajectory.kernel.cell.name}: the state flow is not finite; look at the weights and states for NaN or inf")
        rows, columns = chunk.matrices.shape[1:]
        if top is None or len(top.U) != rows:
            top = TopSingularValue(rows, columns, 0.9 * tolerance)
        if exact or min(rows, columns) <= 4 * top.block:
            values = np.linalg.svd(chunk.matrices, compute_uv=False)[:, 0] if exact else _by_gram(chunk.matrices, chunk.norms)
            ours = [(v, _TRACE_ROUNDING * rows, True) for v in values.tolist()]
        else:
            ours = [top(m, norm) for m, norm in zip(chunk.matrices, chunk.norms, strict=True)]
        found = []
        for (value, error, decomposed), tail, floor in zip(ours, chunk.tails.tolist(), chunk.floors, strict=True):
            error += (tail / value) ** 2 / 2 if tail else 0.0
            found.append((value, error, decomposed, floor, chunk.exponent))
        return found, chunk.ratio

    size = max(cols.stop for cols in step.columns.values())
    tail = min(lowrank.TAIL, math.sqrt(0.2 * tolerance / size) / lowrank.GROWN)  # a tenth of the tolerance: |P|_F <= sqrt(size) norm
    make = partial(StateProduct, step, b, end, lags)
    found = [row for rows in lowrank.measured(make, 0.0 if exact else tail, measure) for row in rows]
    norm, error, decomposed, floor, exponent = np.array(found).T
    with np.errstate(divide="ignore"):
        logs = [np.log10(v) + exponent * np.log10(2.0) for v in (norm, floor)]
    return SpectralNorms(np.arange(1, lags + 1), logs[0], error, decomposed.astype(bool), logs[1], "truncated" if step.cut else "full")

"""Lyapunov exponents of a net along a run: mean rates per step at which small changes of its state grow or shrink, all directions.

An orthonormal frame is carried forward by the step Jacobians and made orthonormal again by Cholesky QR, which is matrix products and
little else; a condition test chooses how many steps may pass in between, and says when Householder QR must be used. The sum of all
exponents is checked against the mean of log |det J(t)|, which knows nothing of frames.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.linalg.blas import dgemm, dnrm2, dsyrk, dtrmv, dtrsm, dtrsv
from scipy.linalg.lapack import dgetrf, dpotrf

from ..step import Step
from .joint import JointJacobian
from .scaled import largest_entry

__all__ = ["Exponents", "exponents"]

_WORST = 1e10
"""Largest condition number of a Gram matrix for Cholesky QR, whose frame is then orthogonal to 1e10 eps ~ 2e-6. That error does not add up:
the next R contains it, so only the last frame's error counts, and the last frame gets a second pass. Beyond, Householder QR is used."""

_AIM = 1e9
"""Condition number that the next interval is chosen for, with room for steps that are worse than the last ones. The smallest direction of
an interval's product is then known to sqrt(1e9) eps ~ 7e-12, the mean over intervals better."""

_COLUMNS = 64
"""Columns whose Gram matrix is taken as a whole: of fewer, BLAS makes less use."""


@dataclass(frozen=True)
class Exponents:
    """Exponents per step, natural log, descending; -inf for directions that one step makes zero, to rounding.

    values              (k,) mean over the steps of log growth
    sum_error           |sum of values - mean log |det J||, None where only leading exponents were asked for
    mean_log_det        mean of log |det J(t)| over the steps, None likewise
    longest_interval    most steps between two orthonormalisations
    householder         how many orthonormalisations needed Householder QR
    steps               steps averaged over
    gradient            "full" or "truncated"
    """

    values: np.ndarray
    mean_log_det: float | None
    sum_error: float | None
    longest_interval: int
    householder: int
    steps: int
    gradient: str


def exponents(trajectory, count=None, *, b=0, start=0, skip=0, cut=()):
    """The leading `count` Lyapunov exponents (all by default) along the steps start+1 ... of one sequence.

        Q(t) R(t) = J(t) Q(t-1),   exponent_i = mean over t of log R_ii(t)

    `skip` steps turn the frame before they count. Full unless `cut`. Raises ValueError for a sequence without such steps, and
    where the sum of all exponents is not the mean of log |det J(t)|: the frame has lost its orthogonality.
    """
    step = Step(trajectory, cut)
    jacobian = JointJacobian(step, b)
    n = jacobian.size
    count = n if count is None else count
    if not 1 <= count <= n:
        raise ValueError(f"{count} exponents of a state of {n} entries; ask for 1 to {n}")
    if start < 0 or skip < 0:
        raise ValueError(f"exponents from step {start} with {skip} skipped: neither can be negative")
    steps = trajectory.steps - 1 - start - skip
    if steps < 1:
        raise ValueError(f"exponents from step {start} with {skip} skipped need {start + skip + 2} steps; "
                         f"the sequence has {trajectory.steps}")
    log_det_of = _log_dets(jacobian)
    Q = _orthonormal(_orthonormal(np.random.default_rng(0).normal(size=(n, n))[:, :count])[0])[0]
    logs, log_det, interval, longest, householder = np.zeros(count), 0.0, 1, 1, 0
    t, first, last = start, start + skip, trajectory.steps - 1
    while t < last:
        m = min(interval, (last if t >= first else first) - t)
        moved, dets = Q, 0.0
        for u in range(t + 1, t + m + 1):
            matrix = jacobian.matrix(u)
            moved = np.matmul(moved.T, matrix.T).T
            if count == n:
                dets += log_det_of(u, matrix)
        found, grown, condition = _orthonormal(moved)
        if np.isneginf(grown).any():
            dets = -math.inf
        if m > 1 and condition > _WORST:  # the product itself may have lost directions: take these steps one by one
            interval = 1
            continue
        Q, t = found, t + m
        if t > first:
            if t == last:
                Q, more, _ = _orthonormal(Q)
                grown = grown + more
            logs, log_det = logs + grown, log_det + dets
            longest, householder = max(longest, m), householder + (condition > _WORST)
        interval = min(2 * interval, _next_interval(m, condition, grown))
    values = logs / steps
    mean, error = (log_det / steps, None) if count == n else (None, None)
    if count == n:
        error = 0.0 if values.sum() == mean else abs(values.sum() - mean)  # both -inf: a singular step
        allowed = 1e-8 * (n + np.abs(values[np.isfinite(values)]).sum())  # one part in 1e8 of what was added up
        if math.isnan(values.sum()) or math.isnan(mean):
            raise ValueError(f"{trajectory.kernel.cell.name}: step Jacobians are not finite; look at the weights and states for NaN or inf")
        if not error <= allowed:
            raise ValueError(f"{trajectory.kernel.cell.name}: exponents add up to {values.sum():.10g}, mean log |det J| is {mean:.10g}; "
                                  "a step Jacobian is singular to rounding: ask for the leading exponents only (count)")
    return Exponents(np.sort(values)[::-1], mean, error, longest, householder, steps, "truncated" if step.cut else "full")


def _log_dets(jacobian):
    """Function (t, J(t)) -> log |det J(t)|; where J(t) = diag(f'(t)) W with one W, its determinant is taken once."""
    scaled = jacobian.parts[0].operand.row_scaled if len(jacobian.parts) == 1 and jacobian.parts[0].is_dense else None
    if scaled is None or np.ndim(scaled[0]) != 2:
        return lambda t, matrix: _log_det(matrix)
    constant = _log_det(np.ascontiguousarray(scaled[1]))
    with np.errstate(divide="ignore"):
        slopes = np.log(np.abs(scaled[0])).sum(axis=1)
    return lambda t, matrix: constant + float(slopes[t])


def _log_det(matrix):
    """log |det|, -inf for a singular matrix."""
    factors = dgetrf(matrix.T)[0]
    with np.errstate(divide="ignore"):
        return float(np.log(np.abs(np.diagonal(factors))).sum())


def _orthonormal(moved):
    """(orthonormal columns, log of each diagonal entry of R, condition number of the Gram matrix, estimated)."""
    Q, R = moved.copy(order="F"), np.empty((moved.shape[1],) * 2, order="F")
    positive = _cholesky_qr(Q, R)
    if not (positive and 2.0**-300 < R[0, 0] < 2.0**300):  # perhaps only as squares leave float64
        scale = math.frexp(largest_entry(moved))[1]
        if abs(scale) > 300:
            Q, grown, condition = _orthonormal(np.ldexp(moved, -scale))
            return Q, grown + scale * math.log(2.0), condition
    condition = _condition(R) if positive else math.inf
    if condition > _WORST:
        Q, R = np.linalg.qr(moved)
        Q = np.asfortranarray(Q)
        R[np.abs(R) < len(moved) * np.finfo(float).eps * np.abs(R).max()] = 0.0  # nothing but rounding
    with np.errstate(divide="ignore"):
        return Q, np.log(np.abs(np.diagonal(R))), condition


def _condition(R):
    """Condition number of R^T R: its largest and smallest eigenvalue from two powers of it and of its inverse times a random vector."""
    x = _random_vector(len(R))
    up, down = dtrmv(R, x), dtrsv(R, x, trans=1)
    if not (dnrm2(up) > 0 and dnrm2(down) > 0):  # below what float64 holds
        return math.inf
    found = dnrm2(dtrmv(R, up, trans=1)) / dnrm2(up) * dnrm2(dtrsv(R, down)) / dnrm2(down)
    return max(1.0, found * found) if found * found < math.inf else math.inf  # also where the powers left float64


@cache
def _random_vector(n):
    return np.random.default_rng(1).normal(size=n)


def _next_interval(m, condition, grown):
    """Steps after which the condition number, here that of m steps, should reach _AIM: every step adds the spread of R's diagonal."""
    if condition == math.inf:
        return 1
    per_step = max(2 * float(grown.max() - grown.min()) / m, 1e-9)
    return max(1, m + math.floor(math.log(_AIM / condition) / per_step))


def _cholesky_qr(A, R):
    """Overwrite A by Q and the upper triangle of R, A = Q R; False, with neither of use, where a Gram matrix is not positive definite.

    What the left half of the columns spans is taken out of the right half, so that most of the work is matrix products, and the condition
    of two small Gram matrices counts instead of that of a large one.
    """
    k = A.shape[1]
    if k <= _COLUMNS:
        factor, failed = dpotrf(dsyrk(1.0, A, trans=1), clean=0, overwrite_a=1)
        if not failed:
            R[...] = factor
            dtrsm(1.0, factor, A, side=1, overwrite_b=1)
        return not failed
    left, right = A[:, :k // 2], A[:, k // 2:]
    if not _cholesky_qr(left, R[:k // 2, :k // 2]):
        return False
    R[:k // 2, k // 2:] = shared = dgemm(1.0, left, right, trans_a=1)
    dgemm(-1.0, left, shared, 1.0, right, overwrite_c=1)
    return _cholesky_qr(right, R[k // 2:, k // 2:])

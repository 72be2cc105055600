"""Error flow for all pairs (end time, lag) in one pass backwards: the heat map of one error per end time, and the weighted flow of a loss.

One error vector enters at every end time; all that are under way go through a step together, as one matrix product, each with its own
exponent of two. One error a step, not a whole Jacobian: the norms are those of these errors.
"""

from dataclasses import dataclass

import numpy as np

from ..step import Step
from .joint import JointJacobian
from .rows import rows_before

__all__ = ["Pairs", "pair_flows"]

_FAR = 2.0**128
"""Norms between 1/_FAR and _FAR are left alone: their squares stay inside float64 in the next step, too."""


@dataclass(frozen=True)
class Pairs:
    """Norms of errors on their way back, for every end time and lag.

    log10_norm   (steps, lags + 1), index [t, q]: log10 |d E_t/d state(t-q)|, -inf where exactly zero, NaN where t-q is before the start
    total        {state: (steps, units)} sum over all end times of the errors that arrive there, as BPTT has them where `lags` reach
    gradient     "full" or "truncated"
    """

    log10_norm: np.ndarray
    total: dict
    gradient: str

    @property
    def log10_weighted(self):
        """(lags + 1,) log10 of the root mean square over end times: how much of a real loss's error arrives from lag q."""
        with np.errstate(divide="ignore"):
            logs = 2 * np.log(10.0) * np.where(np.isnan(self.log10_norm), -np.inf, self.log10_norm)
            counts = np.sum(~np.isnan(self.log10_norm), axis=0)
            return (np.logaddexp.reduce(logs, axis=0) - np.log(counts)) / (2 * np.log(10.0))


def pair_flows(trajectory, errors=None, lags=None, *, b=0, cut=()):
    """Pairs of one sequence: the error e(t) that enters at each step t, followed back over `lags` steps (as far as the start).

        e(t) d y(t)/d state(t) J(t) J(t-1) ... J(t-q+1)

    `errors` is dE/dy(t), shape (steps, units); without it one random unit vector is sent from the output of every step (the same one,
    seed 0). Lag 0 is e(t) itself. Full unless `cut`. O(steps lags) products of a row with J(t); memory
    O(lags joint state + steps lags). Raises ValueError where the errors do not fit.
    """
    kernel, step = trajectory.kernel, Step(trajectory, cut)
    output, steps = kernel.cell.output.name, trajectory.steps
    lags = steps - 1 if lags is None else min(int(lags), steps - 1)
    if lags < 0:
        raise ValueError(f"lags must not be negative, got {lags}")
    units = trajectory[output].shape[-1]
    if errors is None:
        errors = np.random.default_rng(0).normal(size=units)
        errors = np.broadcast_to(errors / np.linalg.norm(errors), (steps, units))
    errors = np.asarray(errors, float)
    if errors.shape != (steps, units):
        raise ValueError(f"errors at {output} have shape {errors.shape}, expected {(steps, units)}")
    jacobian = JointJacobian(step, b)
    own = jacobian.columns.get(output)  # None: the output is no state, its errors enter the states one step earlier
    here, spare = (np.zeros((min(2 * (lags + 1), steps + lags + 1), jacobian.size)) for _ in range(2))
    log_norm, total = np.full((steps, lags + 1), np.nan), np.zeros((steps, jacobian.size))
    flat = log_norm.reshape(-1)  # end time t + k and lag k have entry t (lags + 1) + k (lags + 2)
    exponents, size = np.zeros(steps, int), len(here)  # of the error of each end time
    scales, log_scales = np.ones(steps), np.zeros(steps)  # 2**exponent and its log10
    low, high = size, size  # rows in use: row low is end time t, row low + 1 end time t + 1, ...
    for t in range(steps - 1, -1, -1):
        high = min(high, low + lags)
        if low == 0:
            kept = here[:high].copy()
            low, high = size - high, size
            here[low:] = kept
        if t < steps - 1 and high > low:
            jacobian.back(t + 1, here[low:high], spare[low:high])
            here, spare = spare, here
            if own is None:
                here[low] = rows_before(step, t + 1, b, {output: errors[t + 1, None]})[0]
        low -= 1
        here[low] = 0.0
        if own is not None:
            here[low, own] = errors[t]
        rows, ends = here[low:high], slice(t, t + high - low)
        norms = np.sqrt(np.matmul(rows[:, None], rows[:, :, None])[:, 0, 0])
        np.add(_log10(norms), log_scales[ends], out=flat[t * (lags + 1)::lags + 2][:len(rows)])
        np.matmul(scales[ends], rows, out=total[t])
        if own is None:
            log_norm[t, 0] = _log10(np.linalg.norm(errors[t]))
        if not 1 / _FAR < norms.min() <= norms.max() < _FAR:  # seldom: many rows are brought back at once
            shift = np.where(norms > 0, np.frexp(norms)[1], 0)
            far = np.flatnonzero(np.abs(shift) > 32)
            rows[far] = np.ldexp(rows[far], -shift[far, None])
            exponents[t + far] += shift[far]
            scales[ends], log_scales[ends] = np.ldexp(1.0, exponents[ends]), exponents[ends] * np.log10(2.0)
    return Pairs(log_norm, {name: total[:, cols] for name, cols in jacobian.columns.items()}, "truncated" if step.cut else "full")


def _log10(norms):
    with np.errstate(divide="ignore"):
        return np.log10(norms)

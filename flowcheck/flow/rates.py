"""How fast error flow decays or grows: rate per step with its interval, half-life, horizon, verdict.

Reads Flow objects, computes no derivative. Rates are in log10 units per step, as the norms are.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["SUSTAINED_DECADES", "Rate", "horizon_of", "lost_by_half", "rate"]

SUSTAINED_DECADES = 1.0
"""Change of log10 norm over the fitted lags that still counts as sustained: a learning rate absorbs a factor 10."""


@dataclass(frozen=True)
class Rate:
    """Summary of one Flow.

    per_step    slope of log10 norm over lag, per step: (L(q1) - L(q0)) / (q1 - q0); None where fewer than two lags are usable
    interval    95 % confidence interval of the slope, from the means of batches of consecutive increments
    half_life   lags in which the norm halves, log10(2) / -per_step; None unless the whole interval is below 0
    horizon     the last lag whose norm is at least 2^-24 of that at lag 0 (what float32 keeps beside it), in half of the sequences or
                more; None: beyond the lags measured
    verdict     "vanishing", "exploding", or "sustained": the interval holds 0, or the rate makes less than a factor 10 over the lags,
                or a single lag was measured, and the flow is there at the last lag as the horizon counts it
    fitted      (q0, q1), the lags used: after the first tenth, above the rounding floor
    """

    per_step: float | None
    interval: tuple | None
    half_life: float | None
    horizon: int | None
    verdict: str
    fitted: tuple | None


def rate(flow):
    """The Rate of a Flow.

    The log norm over lag is a random walk with drift: its increments fluctuate about the rate, so the interval comes from
    batch means of increments (at most 20 batches a sequence, Student's t), not from the residuals of a straight line, which
    are correlated and would give an interval far too narrow.
    """
    usable = flow.above_floor
    lost = lost_by_half(flow.there)
    horizon = horizon_of(flow.lags, lost)
    if usable < 2:
        return Rate(None, None, None, horizon, "vanishing" if usable < len(flow.lags) or lost[-1] else "sustained", None)
    first = min(usable // 10, usable - 2)
    norms = flow.log10_norm[flow.kept, first:usable]
    increments = np.diff(norms, axis=1) / np.diff(flow.lags[first:usable])
    per_step = float(increments.mean())
    half_width = _half_width(increments)
    low, high = per_step - half_width, per_step + half_width
    span = flow.lags[-1] - flow.lags[first]  # all lags measured, also those beyond the floor, where the norm has only fallen further
    if low <= 0 <= high or abs(per_step) * span < SUSTAINED_DECADES:
        verdict = "vanishing" if lost[-1] else "sustained"
    else:
        verdict = "vanishing" if per_step < 0 else "exploding"
    half_life = float(np.log10(2) / -per_step) if high < 0 else None
    return Rate(per_step, (low, high), half_life, horizon, verdict, (int(flow.lags[first]), int(flow.lags[usable - 1])))


def _half_width(increments):
    """Half the 95 % interval of the mean increment, from batch means; a single increment is no evidence of anything but its own size."""
    from scipy.special import stdtrit

    if increments.size < 2:
        return float(np.abs(increments).max())
    n = increments.shape[1]
    batches_each = n if n < 10 else min(20, n // 5)
    means = np.concatenate([b.mean(axis=1) for b in np.array_split(increments, batches_each, axis=1)])
    return float(stdtrit(len(means) - 1, 0.975) * means.std(ddof=1) / np.sqrt(len(means)))


def lost_by_half(there):
    """(L,) whether more than half of the sequences have no flow any more, from whether each has, (sequences, L)."""
    return 2 * there.sum(axis=0) < len(there)


def horizon_of(lags, lost):
    """The last lag before the first that is lost; 0 where all are, None where none is."""
    if not lost.any():
        return None
    first = int(np.argmax(lost))
    return int(lags[first - 1]) if first else 0

"""What the numbers of a failed comparison suggest, in words: a sign, a factor, a clip, a transposed gradient, single precision."""

import numpy as np

from .pieces import fits_single

__all__ = ["describe", "doubt", "lag_words"]

SINGLE = 16 * float(np.finfo(np.float32).eps)
"""Relative error that some roundings to float32 leave."""


def describe(one, expected_full=None, clip=None):
    """One line for a failed Comparison."""
    if one.bad is None:
        return one.words
    lag, error, tolerance, got, expected, step = one.bad
    where = f"dE/d{one.entry} is wrong"
    if lag is not None and step is not None:
        where += f" at step {step}, lag {lag} from the last step, and right at step {step + 1} "
    elif lag is not None:
        where += f", first at lag {lag} " if lag >= 0 else f" at lag {lag}, where an error reaches a later input "
    elif step is not None:
        where += f" at step {step} "
    if not np.isfinite(got).all():
        bad = np.argwhere(~np.isfinite(one.grad))
        said = (f"not finite in {len(bad)} of its {one.grad.size} numbers, the first, {one.grad[tuple(bad[0])]}, at {bad[0].tolist()}"
                if len(bad) else "the part of that step is not finite")
        return f"{where.rstrip()} ({one.seed.name}): {said}"
    said = f"(relative error {error:.1e}, allowed {tolerance:.1e})" if np.isfinite(error) else "(it must be zero)"
    return (f"{where.rstrip()} ({one.seed.name}): got {got[0]:.6g}, expected {expected[0]:.6g} along a random direction "
            f"{said}{clip or _hint(one, error, np.array(got), np.array(expected))}")


def _hint(one, error, got, expected):
    if not np.any(one.grad):
        return "; it is exactly zero"
    if np.all(got == 0):
        return "; it is exactly zero there"
    with np.errstate(all="ignore"):
        ratio = got / expected
    if np.all(np.isfinite(ratio)) and len(ratio) > 1 and np.ptp(ratio) < 1e-6 * np.abs(ratio).max():
        if abs(ratio[0] + 1) < 1e-6:
            return "; the sign is flipped"
        if abs(ratio[0] - 1) > 1e-3:
            return f"; it is {ratio[0]:.4g} times the right value"
    if fits_single(one.grad):
        return "; every number fits single precision: it is rounded to float32 inside"
    return "; so small an error is left where a result inside is rounded to float32" if error < SINGLE else ""


def doubt(one, gap_words, samples=None):
    """One line for a Comparison that came to no verdict; `samples`: number of calls of which the gradient is the mean."""
    if one.unknown:
        return (f"dE/d{one.entry}: what a truncation keeps of it takes the state at single steps: give the cell behind forward, or "
                "return each state among the outputs")
    if samples:
        return f"dE/d{one.entry}{lag_words(one.doubtful)}: the standard error of {samples} calls leaves more than a tenth open; take more"
    if one.doubtful:
        return (f"dE/d{one.entry}{lag_words(one.doubtful)}: rounding alone can explain a relative error of {one.error:.0e} "
                f"({gap_words}); no verdict")
    return f"dE/d{one.entry}{lag_words(one.unseen)}: the reference cannot tell"


def lag_words(lags):
    lags = sorted({lag for lag in lags if lag is not None})
    if not lags:
        return ""
    return f", lag {lags[0]}" if len(lags) == 1 else f", {len(lags)} lags from {lags[0]} to {lags[-1]}"

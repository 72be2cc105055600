"""Settle a gradient check with rigorous bounds: backward's numbers against balls around the exact gradient of the matched cell.

What a comparison could not decide passes if the numbers provably lie within the tolerance, or within what rounded slopes explain; it
fails if they provably do not. Where rounded slopes alone leave more than a tenth of the gradient open, there is still no verdict.
"""

import numpy as np

from ..oracles import STEP, NotTrusted
from .adjoint import Adjoint
from .comparison import lags_of
from .enclosure import Enclosure, precision
from .pieces import WIDE

__all__ = ["settle"]

SLOPE_ROUNDING = 4 * np.finfo(float).eps
"""What rounding an activation to double precision may do to a slope that is computed from it, such as 1 - y^2 or y (1 - y)."""


def settle(comparisons, match, arguments, rng):
    """One line on the bound that was reached; verdicts of the Comparisons are changed where the bound decides otherwise."""
    worst, bits = 0.0, 0
    for seed in {id(one.seed): one.seed for one in comparisons}.values():
        try:
            enclosure = Enclosure(match, arguments, seed.grad_outputs)
        except ImportError:
            return "not certified: python-flint is not installed; it is in flowcheck-rnn[certified]"
        except NotTrusted as error:
            return f"not certified: {error}"
        bits = max(bits, enclosure.bits)
        rounding = _Rounding(match, arguments, seed)
        for one in comparisons:
            if one.seed is seed and one.verdict != "fail" and one.entry in enclosure.exact:
                worst = max(worst, _settle(one, enclosure, arguments, rounding, rng))
    verdicts = {one.verdict for one in comparisons}
    what = "what fails is provably off; all else" if "fail" in verdicts else "what could be decided" if "inconclusive" in verdicts else \
        "dE/d of every entry"
    return f"certified: {what} is within {worst:.1e} of the exact gradient of {match.cell.name}, relative to its size at each lag, a " \
           f"rigorous bound ({bits} bits)"


def _settle(one, enclosure, arguments, rounding, rng):
    """The largest bound of a relative difference over the pieces of one entry."""
    worst, open_lags, wrong = 0.0, [], None
    for t in reversed(lags_of(arguments, one.entry)):
        where = ... if t is None else arguments.at_step(one.entry, t)
        lag = None if t is None or one.seed.t is None else one.seed.t - t
        v = rng.normal(size=one.grad[where].shape)
        with precision(enclosure.bits):
            exact = sum((float(a) * b for a, b in zip(v.ravel(), enclosure.exact[one.entry][where].ravel(), strict=True)), start=0)
            got = sum((float(a) * _exactly(g) for a, g in zip(v.ravel(), one.grad[where].ravel(), strict=True)), start=0)
            gap, size = (float(_upper(b)) for b in (got - exact, exact))
        if gap == 0:
            continue
        allowed = (1 + abs(lag or 0)) * float(np.sqrt(np.finfo(one.grad.dtype).eps)) * size
        if gap > allowed:
            slack = rounding.of(one.entry, where, v)
            allowed += slack
            if slack > WIDE * size or allowed < gap <= one.tolerances.get(lag, 0.0) * size and one.tolerances[lag] > WIDE:
                open_lags.append(lag)
                continue
        if gap > allowed:
            found = (lag, gap / size if size else np.inf, allowed / size if size else 0.0, [float(got)], [float(exact)], t)
            wrong = found if wrong is None or abs(lag or 0) < abs(wrong[0] or 0) else wrong
        else:
            one.tolerances[lag] = allowed / size
            worst = max(worst, gap / size)
    one.doubtful, one.unseen, one.bad = open_lags, [], wrong
    one.verdict = "fail" if wrong else "inconclusive" if open_lags else "pass"
    return worst


class _Rounding:
    """What rounded slopes do to a directional derivative: to first order, the sum of |error| |slope's rounding| |tangent| over units."""

    def __init__(self, match, arguments, seed):
        self.match, self.arguments = match, arguments
        self.run = match.run(arguments)
        self.errors = Adjoint(self.run).backward(match.errors(seed.grad_outputs), units=True).units

    def of(self, name, where, v):
        value = self.arguments.values()[name]
        whole = np.zeros(value.shape)
        whole[where] = v
        moved = self.match.run(self.arguments, {name: value + 1j * STEP * whole})
        total = 0.0
        for (unit, argument), slope in self.run.partials.items():
            tangent = np.abs(np.imag(moved[argument])) / STEP
            total += float(np.sum(np.abs(self.errors[unit]) * (1 + np.abs(slope)) * tangent))
        return SLOPE_ROUNDING * total


def _exactly(number):
    import flint

    return flint.arb(float(number))


def _upper(ball):
    return ball.abs_upper() if hasattr(ball, "abs_upper") else abs(ball)

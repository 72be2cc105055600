"""Random arguments through which error flows evenly: where no lag is lost in rounding, every lag of a backward pass can be seen."""

import numpy as np

from .comparison import saturation
from .pieces import SATURATED
from .seeds import last_step_seed

__all__ = ["DRAWS", "EVEN", "evenly_flowing"]

EVEN = "random arguments of the same shapes, weights scaled until error flows evenly"
DRAWS = 4
"""How many such arguments are tried."""
GAINS, REFINED, EVENLY = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), 6, 5.0
"""Gains tried first, how many more between them, and the log ratio of flow at which the search stops."""


def evenly_flowing(outcome, expected, rng):
    """Random arguments of the user's length, weights scaled so that error flows as evenly as it can; None where there are none.

    Inputs are small, so that units are not saturated; biases too, and weights without their means, since an activation's mean may be far
    from zero, unless error flows more evenly with them (open gates).
    """
    from .hard_inputs import randomised

    arguments = outcome.arguments
    flowing = next((n for _, n, _ in arguments.entries() if arguments.axis(n) is not None), None)
    if flowing is None or arguments.steps > 256:
        return None
    base, found = randomised(arguments, rng, 1.0), {}
    for small_biases, centred in ((True, True), (True, False), (False, False)):
        def scaled(gain, small_biases=small_biases, centred=centred):
            values = {n: 0.1 * a for n, a in base.values().items() if arguments.axis(n) is not None}
            for n in base.groups["params"].keys() & base.values().keys():
                a = base.groups["params"][n]
                a = a - a.mean(axis=0) - a.mean(axis=1, keepdims=True) + a.mean() if centred and a.ndim == 2 and min(a.shape) > 1 else a
                values[n] = gain * (0.1 if small_biases and a.ndim == 1 else 1.0) * a
            return base.with_values(values)

        tilts = {gain: _tilt(expected, scaled(gain), flowing, rng) for gain in GAINS}
        for _ in range(REFINED):
            gain = _between(tilts)
            if gain is None:
                break
            tilts[gain] = _tilt(expected, scaled(gain), flowing, rng)
        found |= {abs(t): scaled(g) for g, t in tilts.items() if t is not None}
        if min(found, default=np.inf) < EVENLY:
            break
    return found[min(found)] if found else None


def _between(tilts):
    """The next gain to try: between two whose tilts differ in sign, else beside the most even one; None where that is even enough."""
    gains, known = sorted(tilts), {g: t for g, t in tilts.items() if t is not None}
    if not known or min(map(abs, known.values())) < EVENLY:
        return None
    signs = sorted(known)
    pairs = [(a, b) for a, b in zip(signs, signs[1:], strict=False) if known[a] * known[b] < 0]
    if not pairs:
        best = gains.index(min(known, key=lambda g: abs(known[g])))
        pairs = [(gains[k], gains[k + 1]) for k in (best - 1, best) if 0 <= k < len(gains) - 1]
    a, b = max(pairs, key=lambda p: p[1] / p[0])
    return float(np.sqrt(a * b))


def _tilt(expected, trial, flowing, rng):
    """Log of the flow to the first step over that to the last; None where a net is saturated or nothing flows."""
    from .hard_inputs import finite_outputs

    y = finite_outputs(expected.functions, trial)
    if y is None or saturation(y) < SATURATED:
        return None
    seed, sizes = last_step_seed(expected.functions, trial, rng), []
    for t in (0, trial.steps - 1):
        v = np.zeros(trial.values()[flowing].shape)
        v[trial.at_step(flowing, t)] = rng.normal(size=v[trial.at_step(flowing, t)].shape)
        size, width = (0.0, 0.0) if seed is None else expected.full(trial, flowing, v, [seed])[0]
        sizes.append(abs(size) if width < abs(size) else 0.0)
    return float(np.log(sizes[0] / sizes[1])) if min(sizes) > 0 and np.isfinite(max(sizes)) else None

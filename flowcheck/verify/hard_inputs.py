"""Arguments that are hard on purpose: what hides at zero biases, symmetric weights, two steps, a zero state or under decay shows here.

They have the shapes of the user's arguments; all are random, unequal and seeded. Inputs that are nonzero at one step only isolate one lag
of the weights that read them.
"""

import numpy as np

from .comparison import SATURATED, saturation
from .declared import compare_declared
from .seeds import Seed, make_seeds

__all__ = ["harder", "impulse", "randomised"]

FEW = 6
"""Steps of the random arguments; errors over more are sent along the user's own sequence."""
GAINS = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0)


def harder(outcome, expected, rng):
    """Compare on harder arguments until something fails; adds to the Outcome what was found and what was looked at."""
    arguments, functions, done = outcome.arguments, outcome.functions, []
    for name, made in (("contracting", 0.7), ("expanding", 1.8)):
        trial, y = _unsaturated(functions, arguments, rng, made)
        if y is None:
            continue
        comparisons, findings = compare_declared(expected, trial, make_seeds(functions, trial, y, rng), rng, moves=1)
        outcome.add(comparisons, where=f"random arguments of the same shapes, weights {name}", arguments=trial)
        for finding in findings:
            outcome.add_finding(finding)
        done.append(name)
        if outcome.verdict == "fail":
            return
    if arguments.steps and arguments.steps > 2 and expected.intent.kind in ("full", "clipped", "up_to_scale"):
        _isolated_lags(outcome, expected, rng)
        if outcome.verdict != "fail":
            _sustained(outcome, expected, rng)
    if not done:
        outcome.notes.append("forward is not finite on random arguments of these shapes: no harder ones were tried")


def randomised(arguments, rng, gain=1.0, steps=None):
    """Arguments of the same shapes, every real number moved by noise of its entry's size; flags (all 0 or 1) stay; `steps` long."""
    values = {}
    for group, name, a in arguments.entries():
        size = float(np.sqrt(np.mean(a**2))) or 0.5
        if np.isin(a, (0.0, 1.0)).all() and np.any(a) and a.size > 1:
            values[name] = a
        elif group == "params":
            values[name] = gain * (a + 0.5 * size * rng.normal(size=a.shape))
        else:
            values[name] = a + max(size, 0.3) * rng.normal(size=a.shape)
    moved = arguments.with_values(values)
    if steps is None or steps == arguments.steps:
        return moved
    order = rng.permutation(np.resize(np.arange(arguments.steps), steps))
    picked = {n: np.take(a, order, axis=arguments.axis(n)) for n, a in moved.groups["inputs"].items() if arguments.axis(n) is not None}
    noise = {n: a + 0.3 * rng.normal(size=a.shape) for n, a in picked.items() if np.issubdtype(a.dtype, np.floating)
             and not np.isin(a, (0.0, 1.0)).all()}
    return moved.with_values(picked | noise)


def impulse(arguments, t):
    """The arguments with every real input zero except at step t."""
    values = {}
    for name, a in arguments.groups["inputs"].items():
        if arguments.axis(name) is not None and np.issubdtype(a.dtype, np.floating):
            values[name] = np.zeros_like(a)
            values[name][arguments.at_step(name, t)] = a[arguments.at_step(name, t)]
    return arguments.with_values(values)


def _unsaturated(functions, arguments, rng, gain):
    """Random arguments and their outputs, weights halved until no output is saturated; (None, None) where there are none."""
    steps = min(max(arguments.steps, FEW), 8) if arguments.steps else None
    for halvings in range(8):
        trial = randomised(arguments, rng, gain / 2**halvings, steps)
        y = _finite_outputs(functions, trial)
        if y is not None and saturation(y) >= SATURATED:
            return trial, y
    return None, None


def _finite_outputs(functions, arguments):
    try:
        with np.errstate(all="ignore"):
            y = functions.outputs(arguments)
    except (ValueError, ArithmeticError, IndexError):
        return None
    return y if all(np.all(np.isfinite(v)) for v in y.values() if np.issubdtype(v.dtype, np.inexact)) else None


def _last(functions, arguments, y, rng):
    return next((s for s in make_seeds(functions, arguments, y, rng) if s.t == arguments.steps - 1), None)


def _isolated_lags(outcome, expected, rng):
    """Weights that read the inputs, one lag at a time: the input is nonzero at one step only."""
    arguments, steps = outcome.arguments, outcome.arguments.steps
    names = [n for _, n, _ in arguments.entries() if n in arguments.groups["params"]]
    names = [n for n in names if _reads_inputs_only(expected, arguments, n, rng)]
    if not names or saturation(outcome.functions.outputs(arguments)) < SATURATED:
        return
    good, bad, looked = -1, None, []
    for lag in sorted({0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, steps - 1}):
        if lag < steps and bad is None:
            looked.append(lag)
            good, bad = (good, lag) if _fails_at(outcome, expected, names, lag, rng) else (lag, None)
    while bad is not None and bad - good > 1:
        lag = (good + bad) // 2
        good, bad = (good, lag) if _fails_at(outcome, expected, names, lag, rng) else (lag, bad)
    if bad is None:
        for name in names:
            outcome.unseen[name] = f"lags apart but for {', '.join(map(str, looked))}, by inputs at one step only"
        return
    _, trial, comparisons = _at_lag(outcome, expected, names, bad, rng)
    for one in comparisons:
        if one.bad is not None:
            one.bad = (bad, *one.bad[1:])
    outcome.add(comparisons, where="inputs nonzero at one step only", arguments=trial)


def _reads_inputs_only(expected, arguments, name, rng):
    """Whether a weight is idle while the inputs are zero, so that an impulse isolates one lag of it."""
    quiet = impulse(arguments, arguments.steps - 1)
    y = expected.functions.outputs(quiet)
    seeds = [s for s in make_seeds(expected.functions, quiet, y, rng) if s.t is not None and s.t < arguments.steps - 1]
    if not seeds or not expected.tangents.exact:
        return False
    v = rng.normal(size=arguments.values()[name].shape)
    return all(value == 0 for value, _ in expected.full(quiet, name, v, seeds))


def _at_lag(outcome, expected, names, lag, rng):
    trial = impulse(outcome.arguments, outcome.arguments.steps - 1 - lag)
    y = outcome.functions.outputs(trial)
    seed = _last(outcome.functions, trial, y, rng)
    comparisons, _ = compare_declared(expected, trial, [seed], rng, only=names, moves=1)
    return seed, trial, comparisons


def _fails_at(outcome, expected, names, lag, rng):
    return any(one.verdict == "fail" for one in _at_lag(outcome, expected, names, lag, rng)[2])


def _sustained(outcome, expected, rng):
    """Weights along the whole sequence, scaled so that error flows as evenly as it can: far lags count in the sum over them."""
    arguments, functions = outcome.arguments, outcome.functions
    flowing = next((n for _, n, _ in arguments.entries() if arguments.axis(n) is not None), None)
    if flowing is None or arguments.steps > 256:
        return
    base, best = randomised(arguments, rng, 1.0), None
    quiet = {n: 0.1 * a for n, a in base.values().items() if arguments.axis(n) is not None}
    for gain in GAINS:
        trial = base.with_values({n: gain * base.groups["params"][n] for n in base.groups["params"]
                                  if np.issubdtype(base.groups["params"][n].dtype, np.floating)} | quiet)
        y = _finite_outputs(functions, trial)
        seed = None if y is None else _last(functions, trial, y, rng)
        if seed is None or saturation(y) < SATURATED:
            continue
        sizes = []
        for t in (0, arguments.steps - 1):
            v = np.zeros(arguments.values()[flowing].shape)
            v[arguments.at_step(flowing, t)] = rng.normal(size=v[arguments.at_step(flowing, t)].shape)
            sizes.append(abs(expected.full(trial, flowing, v, [seed])[0][0]))
        if min(sizes) > 0 and np.isfinite(max(sizes)):
            unevenness = abs(np.log(sizes[0] / sizes[1]))
            best = (unevenness, trial, seed) if best is None or unevenness < best[0] else best
    if best is None:
        return
    _, trial, seed = best
    everywhere = Seed("errors at all steps", make_seeds(functions, trial, functions.outputs(trial), rng)[-1].grad_outputs, None)
    names = [n for _, n, _ in arguments.entries() if arguments.axis(n) is None]
    comparisons, _ = compare_declared(expected, trial, [seed, everywhere], rng, only=names)
    outcome.add(comparisons, where="random arguments of the same shapes, weights scaled until error flows evenly", arguments=trial)

"""Arguments that are hard on purpose: what hides at zero biases, symmetric weights, two steps, a zero state or under decay shows here.

They have the shapes of the user's arguments; all are random, unequal and seeded.
"""

import numpy as np

from . import step_by_step
from .arguments import REFUSED
from .comparison import saturation
from .declared import compare_declared
from .even_flow import DRAWS, EVEN, evenly_flowing
from .pieces import SATURATED
from .seeds import make_seeds

__all__ = ["harder", "randomised"]

FEW = 6
"""Steps of the random arguments; errors over more are sent along the user's own sequence."""


def harder(outcome, expected, rng):
    """Compare on harder arguments until something fails; adds to the Outcome what was found and what was looked at."""
    arguments, functions, done = outcome.arguments, outcome.functions, []
    labels = _labels(functions, arguments, rng)
    for name, made in (("contracting", 0.7), ("expanding", 1.8)):
        trial, y, repeated = _unsaturated(functions, arguments, rng, made, labels)
        if y is None:
            continue
        comparisons, findings = compare_declared(expected, trial, make_seeds(functions, trial, y, rng), rng)
        where = f"random arguments of the same shapes, weights {name}" + (", indices repeated" if repeated else "")
        outcome.add(comparisons, where=where, arguments=trial)
        for finding in findings:
            outcome.add_finding(finding)
        done.append(name)
        if outcome.verdict == "fail":
            return
    if arguments.steps and arguments.steps > 2 and expected.intent.kind in ("full", "clipped", "up_to_scale"):
        even = None
        if expected.tangents.exact:
            even = evenly_flowing(outcome, expected, rng)
        else:
            _where_flow_is_even(outcome, expected, rng)
        for trial, where in ((arguments, ""), *([] if even is None else [(even, EVEN)])):
            if outcome.verdict != "fail":
                step_by_step.weights(outcome, expected, rng, trial, where)
    if not done:
        outcome.notes.append("forward refuses, or is not finite on, random arguments of these shapes: no harder ones were tried")


def _where_flow_is_even(outcome, expected, rng):
    """Differences see no lag at which the flow is far below the outputs; on arguments where it is even they see more of them."""
    steps, names = outcome.arguments.steps, [n for _, n, _ in outcome.arguments.entries() if outcome.arguments.axis(n) is not None]
    for _ in range(DRAWS):
        missed = {lag for n in names for lag in range(steps) if lag not in outcome.detectable.get(n, {})}
        even = evenly_flowing(outcome, expected, rng) if missed else None
        if even is None or outcome.verdict == "fail":
            return
        seeds = make_seeds(expected.functions, even, expected.functions.outputs(even), rng)
        comparisons, _ = compare_declared(expected, even, seeds[:1], rng, only=names, at=[steps - 1 - lag for lag in missed])
        outcome.add(comparisons, where=EVEN, arguments=even)


def randomised(arguments, rng, gain=1.0, steps=None, repeated=()):
    """Arguments of the same shapes, every real number moved by noise of its entry's size; flags (all 0 or 1) stay; `steps` long.

    Labels that are to be `repeated` are drawn from half of those there are: a gradient that is assigned where it must be added shows only
    where a label comes twice.
    """
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
    given = {n: arguments.groups["inputs"][n] for n in repeated}
    moved = moved.with_values({n: rng.choice(rng.permutation(np.unique(a))[:max(1, len(np.unique(a)) // 2)], a.shape)
                               for n, a in given.items()})
    if steps is None or steps == arguments.steps:
        return moved
    order = rng.permutation(np.resize(np.arange(arguments.steps), steps))
    picked = {n: np.take(a, order, axis=arguments.axis(n)) for n, a in moved.groups["inputs"].items() if arguments.axis(n) is not None}
    noise = {n: a + 0.3 * rng.normal(size=a.shape) for n, a in picked.items() if np.issubdtype(a.dtype, np.floating)
             and not np.isin(a, (0.0, 1.0)).all()}
    return moved.with_values(picked | noise)


def _integers(arguments):
    return {n: a for n, a in arguments.groups["inputs"].items() if np.issubdtype(a.dtype, np.integer) and a.size}


def _labels(functions, arguments, rng):
    """Integer inputs that do nothing but name rows (or columns) of params: outputs are the same with these in another order and other
    names, but not with other names alone. Lengths, orders, segments and parents are no such labels."""
    found, params, y = [], arguments.groups["params"], None
    for name, ids in _integers(arguments).items():
        for size in {size for w in params.values() for size in w.shape if ids.min() >= 0 and size > max(ids.max(), 1)}:
            places = [(n, axis) for n, w in params.items() for axis in range(w.ndim) if w.shape[axis] == size]
            y = functions.outputs(arguments) if y is None else y
            if any(_named_by(functions, arguments, name, some, size, rng, y) for some in (*([p] for p in places), places)):
                found.append(name)
                break
    return found


def _named_by(functions, arguments, name, places, size, rng, y):
    """Whether other labels give other outputs, and the same where params are reordered to fit along these [(param, axis)]."""
    order, ids = np.roll(rng.permutation(size), 1), arguments.groups["inputs"][name]
    reordered = {}
    for param, axis in places:
        reordered[param] = np.take(reordered.get(param, arguments.groups["params"][param]), np.argsort(order), axis=axis)

    def same(values):
        found = finite_outputs(functions, arguments.with_values(values | {name: order[ids]}))
        return found is not None and all(np.shape(found[k]) == np.shape(v) and np.allclose(found[k], v, rtol=1e-9, atol=1e-12)
                                         for k, v in y.items())

    return same(reordered) and not same({})


def _unsaturated(functions, arguments, rng, gain, labels):
    """(random arguments, their outputs, whether labels are repeated), weights halved until no output is saturated; (None, None, False)
    where there are none. Labels are repeated, but where forward refuses that. With other integers all steps stay, in their order."""
    steps = min(max(arguments.steps, FEW), 8) if arguments.steps and not _integers(arguments).keys() - labels else None
    for repeated in (labels, ()) if labels else ((),):
        for halvings in range(8):
            trial = randomised(arguments, rng, gain / 2**halvings, steps, repeated)
            y = finite_outputs(functions, trial)
            if y is not None and saturation(y) >= SATURATED:
                return trial, y, bool(repeated)
    return None, None, False


def finite_outputs(functions, arguments):
    try:
        with np.errstate(all="ignore"):
            y = functions.outputs(arguments)
    except REFUSED:
        return None
    return y if all(np.all(np.isfinite(v)) for v in y.values() if np.issubdtype(v.dtype, np.inexact)) else None

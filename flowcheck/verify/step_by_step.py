"""Weight gradients step by step: a sum over time hides its lags, and these comparisons take them apart.

Two ways. A run that starts one step later, in the state reached there, lacks the part of one step: the difference is dE/dw of that lag
alone. Where the states are not known, inputs that are nonzero at one step only isolate one lag of the weights that read them.
"""

import numpy as np

from .arguments import REFUSED
from .comparison import Comparison, saturation
from .declared import compare_declared
from .pieces import SATURATED, WIDE, fits_single
from .rounding import Rounding, of_neighbours, rounding_of
from .seeds import Seed, errors_of_window, last_step_seed, make_seeds

__all__ = ["first_bad", "impulse", "weights", "wrong"]

LOOKED = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
SUMS = 64
"""The reference's rounding, in eps a step of its sums over time: some tens of operations a step, each rounded once. A convention: parts
of one step below 1.4e-13 (q + 1) of the whole sum are not judged; were it doubled, below 2.8e-13 (q + 1)."""


def weights(outcome, expected, rng, arguments, where):
    """Compare the weight gradients lag by lag at some lags; where one fails, at all needed to find the first that does."""
    seed = last_step_seed(expected.functions, arguments, rng)
    names = [n for n in arguments.groups["params"] if n in arguments.values()]
    if seed is None or not names or not expected.tangents.exact:
        return
    if saturation(expected.functions.outputs(arguments)) < SATURATED:
        return
    if expected.from_step(arguments, 1) is not None:
        part, said = lambda lag, quick: _one_step(expected, arguments, seed, names, lag, quick), "the part of one step alone"
    else:
        names = [n for n in names if _idle_without_inputs(expected, arguments, n, rng)]
        part, said = lambda lag, quick: _one_input(expected, arguments, names, lag, rng), "inputs nonzero at one step only"

    def look(lag, quick=False):
        try:
            return part(lag, quick)
        except REFUSED:
            return None

    if not names:
        return
    where = ", ".join(filter(None, (said, where)))
    looked, bad, found = first_bad(look, arguments.steps)
    if bad is not None:
        outcome.add([one for one in found if one.verdict == "fail"], where=where, arguments=arguments)
        return
    for name in names:
        seen = [lag for lag, found in looked if any(one.entry == name and one.tolerances for one in found)]
        more = f"single lags other than {', '.join(map(str, seen))}" if seen else "single lags, only their sum"
        if seen and len(seen) >= len([n for n in outcome.unseen.get(name, "").split(",")]):
            outcome.unseen[name] = more


def wrong(comparisons):
    return any(one.verdict == "fail" for one in comparisons or ())


def first_bad(look, steps):
    """([(lag, comparisons)] that pass, first lag that fails or None, its comparisons), of look(lag, quick) at some of so many steps.

    A lag that cannot be looked at, of which `look` gives None, is neither right nor wrong: where one stands before the first that fails,
    the first is not known.
    First with quick looks, which measure no rounding; where a whole one does not confirm what they found, with whole ones.
    """
    for quick in (True, False):
        looked, bad = _search(lambda lag, quick=quick: look(lag, quick), steps)
        found = [] if bad is None else look(bad, quick=False)
        if bad is None or wrong(found):
            break
    return looked, bad, found


def _search(look, steps):
    """Some lags in turn, and where one fails those needed below it."""
    looked, bad = [], None
    for lag in sorted({*(k for k in LOOKED if k < steps), steps - 1}):
        found = look(lag)
        if wrong(found):
            bad = lag
            break
        looked += [] if found is None else [(lag, found)]
    while bad is not None and bad - (looked[-1][0] if looked else -1) > 1:
        lag = (bad + (looked[-1][0] if looked else -1)) // 2
        found = look(lag)
        if found is None:
            return looked, None
        if wrong(found):
            bad = lag
        else:
            looked.append((lag, found))
    return looked, bad


def _one_step(expected, arguments, seed, names, lag, quick=False):
    """[Comparison] of the part of dE/dw that belongs to step T-1-lag: the run from that step less the run from the next.

    All weights move at once, each in proportion to the inverse of its part; only where that fails they are moved one by one. `quick`: that
    one comparison is all, without a measurement of rounding.
    """
    functions, start, rng = expected.functions, arguments.steps - 1 - lag, np.random.default_rng(lag)
    starts = [(s, expected.from_step(arguments, s)) for s in (start, start + 1) if s < arguments.steps]
    late = [(trial, Seed(seed.name, errors_of_window(seed, functions, arguments.steps, s, arguments.steps), arguments.steps - 1 - s))
            for s, trial in starts]
    answers = [Rounding(functions.grads(trial, part.grad_outputs)) if quick else rounding_of(functions, trial, part.grad_outputs, rng)
               for trial, part in late]
    shape = {n: arguments.values()[n].shape for n in names}
    found = {n: Comparison(n, "params", late[0][1], answers[0].answer.get(n), late[0][0]) for n in names
             if all(a.answer.get(n) is not None and a.answer[n].shape == shape[n] for a in answers)}
    parts = {n: answers[0].answer[n] - (answers[1].answer[n] if len(answers) > 1 else 0.0) for n in found}
    directions = {n: rng.normal(size=shape[n]) / (np.linalg.norm(parts[n]) or 1.0) for n in found}

    def judge(one, some):
        def along(grads):
            return [sum(float(np.sum(grads[n] * directions[n])) for n in some)]

        def again(trial):
            """Relative error of the part of step T-1-lag at other arguments."""
            runs = [trial if s == start else expected.from_step(trial, 1) for s, _ in starts]
            got = _less([along(functions.grads(run, part.grad_outputs))[0] for run, (_, part) in zip(runs, late, strict=True)])
            right = _less([wanted(run, part) for run, (_, part) in zip(runs, late, strict=True)])
            return (got - right) / abs(right) if right else np.inf

        def wanted(run, part):
            return expected.full(run, None, {n: directions[n] for n in some}, [part])[0][0]

        def rounding(enough):
            bound = sum(a.bound(along, enough / 2) for a in answers)
            return bound, all(a.inside for a in answers)

        neighbours = lambda error: of_neighbours(error, again, late[0][0], rng)  # noqa: E731
        _judge(one, lag, [along(a.answer)[0] for a in answers], [wanted(*run) for run in late], rounding, neighbours)

    if not found:
        return []
    joint = Comparison("", "params", seed, next(iter(found.values())).grad)
    judge(joint, list(found))
    if joint.verdict == "pass":
        for one in found.values():
            one.tolerances = {lag: v * len(found) for lag, v in joint.tolerances.items()}
    elif quick:
        return [joint]
    else:
        for n, one in found.items():
            judge(one, [n])
    return list(found.values())


def _less(sums):
    """The sum over one step more, less the sum without it."""
    return sums[0] - (sums[1] if len(sums) > 1 else 0.0)


def _judge(one, lag, got, wanted, rounding, neighbours):
    """Differences of sums: rounding of the sums is part of the tolerance, and where it is all of the difference nothing is said."""
    part, right, eps = _less(got), _less(wanted), float(np.finfo(one.grad.dtype).eps)
    difference, size = abs(part - right), abs(right)
    allowed = (1 + lag) * (np.sqrt(eps) * size + SUMS * eps * max(map(abs, wanted)))
    if not difference <= allowed:
        bound, inside = rounding(max(allowed, difference - allowed))
        allowed += bound
        if not difference <= allowed and not inside and size and not fits_single(one.grad):
            allowed = max(allowed, size * neighbours((part - right) / size))
    if not difference <= allowed:
        one.verdict = "fail"
        one.bad = one.bad or (lag, difference / max(size, allowed), allowed / max(size, allowed), [part], [right], None)
    elif allowed < WIDE * size:
        one.tolerances[lag] = allowed / size


def impulse(arguments, t):
    """The arguments with every real input zero except at step t."""
    values = {}
    for name, a in arguments.groups["inputs"].items():
        if arguments.axis(name) is not None and np.issubdtype(a.dtype, np.floating):
            values[name] = np.zeros_like(a)
            values[name][arguments.at_step(name, t)] = a[arguments.at_step(name, t)]
    return arguments.with_values(values)


def _idle_without_inputs(expected, arguments, name, rng):
    """Whether a weight does nothing while the inputs are zero, so that an impulse isolates one lag of it."""
    quiet = impulse(arguments, arguments.steps - 1)
    seeds = [s for s in make_seeds(expected.functions, quiet, expected.functions.outputs(quiet), rng)
             if s.t is not None and s.t < arguments.steps - 1]
    v = rng.normal(size=arguments.values()[name].shape)
    return bool(seeds) and all(value == 0 for value, _ in expected.full(quiet, name, v, seeds))


def _one_input(expected, arguments, names, lag, rng):
    trial = impulse(arguments, arguments.steps - 1 - lag)
    comparisons, _ = compare_declared(expected, trial, [last_step_seed(expected.functions, trial, rng)], rng, only=names)
    for one in comparisons:
        one.tolerances = {lag: v for v in one.tolerances.values()}
        if one.bad is not None:
            one.bad = (lag, *one.bad[1:])
    return comparisons

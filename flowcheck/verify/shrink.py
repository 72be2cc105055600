"""The smallest case that shows a failure: fewest steps, then fewest units. The fewest steps also tell the first bad lag of a weight."""

from dataclasses import replace
from functools import partial

import numpy as np

from .arguments import REFUSED
from .declared import compare_declared
from .rounding import Rounding
from .seeds import make_seeds

__all__ = ["first_lags", "shrunk_arguments"]


def first_lags(outcome, expected, rng):
    """Shrink the first failure of each entry; fill in the lag of entries whose lags are summed, and `outcome.shrunk`: of the finding that
    is shown first, one over time if there is any."""
    if expected.intent.kind in ("stochastic", "direction"):
        return
    seen = {}
    for one, arguments, where in sorted(_first_of_each(outcome.failed), key=lambda item: item[1].axis(item[0].entry) is None):
        if one.bad is None or not arguments.steps:
            continue
        names = [item[0].entry for item in _first_of_each(outcome.failed) if item[2] == where]
        failing = seen.setdefault(where, {})

        known = one.bad[0]
        lags = {item[0].bad[0] for item in outcome.failed if item[0].bad is not None and item[0].bad[0] is not None}

        def fails(steps, measured, arguments=arguments, failing=failing, names=names, lags=lags, entry=one.entry):
            if (steps, measured) not in failing:
                failing[steps, measured] = _failing(expected, arguments.window(0, steps), names, lags, measured)
            return entry in failing[steps, measured]

        steps = _confirmed(partial(_fewest_steps, arguments.steps, known), fails)
        if steps is None:
            continue
        if known is None and arguments.axis(one.entry) is None and 1 < steps and "times the right value" not in _words(outcome, one):
            _say_lag(outcome, one.entry, steps, one.group == "state0", lags)
        if outcome.shrunk is None:
            outcome.shrunk = {"T": steps} | _fewest_units(expected, arguments.window(0, steps), one.entry, lags)


def _fewest_units(expected, arguments, entry, lags):
    """{what: size}, as `shrunk_arguments`; found without a measurement of rounding, if that confirms the last case."""
    accepted = []

    def fails(trial, measured):
        found = entry in _failing(expected, trial, [entry], lags, measured)
        accepted.extend([trial] * found)
        return found

    sizes = shrunk_arguments(expected.functions, arguments, partial(fails, measured=False))
    if accepted and not fails(accepted[-1], measured=True):
        return shrunk_arguments(expected.functions, arguments, partial(fails, measured=True))
    return sizes


def _confirmed(search, fails):
    """search(fails) of what fails(case, measured) says: without a measurement of rounding, if that confirms what was found."""
    found = search(lambda case: fails(case, False))
    return found if found is None or fails(found, True) else search(lambda case: fails(case, True))


def _first_of_each(failed):
    seen = set()
    for item in failed:
        if item[0].entry not in seen:
            seen.add(item[0].entry)
            yield item


def _words(outcome, one):
    return " ".join(f.words for f in outcome.findings if f.entry == one.entry)


def _say_lag(outcome, entry, steps, initial, lags):
    """The last of `steps` steps sends an error over steps - 1 lags to the first one, and over one more to the initial state.

    Where `lags` of an entry over time are known to be wrong, they say where the mistake begins.
    """
    lag = steps - 1 + initial
    said = f"; right over {steps - 1} step{'s' * (steps > 2)}, wrong over {steps}"
    said += "" if lags else f": the mistake begins at lag {lag}"
    outcome.findings = [replace(f, lag=lag, words=f.words + said) if f.entry == entry and f.lag is None else f for f in outcome.findings]


def _failing(expected, arguments, names, lags, measured=True):
    """Those of the entries that fail under an error at the last step; those over time are looked at over `lags`, if there are any.

    Where rounding is not `measured` some may fail for it.
    """
    rng = np.random.default_rng(arguments.steps)
    at = [arguments.steps - 1 - lag for lag in lags] or None
    try:
        with np.errstate(all="ignore"):
            y = expected.functions.outputs(arguments)
            seeds = [s for s in make_seeds(expected.functions, arguments, y, rng) if s.t == arguments.steps - 1]
            few = {"only": names, "at": at, "directions": 1}
            if seeds and not measured and expected.intent.kind in ("full", "truncated"):
                few["answers"] = [Rounding(expected.functions.grads(arguments, seeds[0].grad_outputs))]
            comparisons, _ = compare_declared(expected, arguments, seeds[:1], rng, **few) if seeds else ([], [])
    except REFUSED:
        return set()
    return {c.entry for c in comparisons if c.verdict == "fail" and c.bad is not None}


def _fewest_steps(length, lag, fails):
    """Smallest number of steps, from the start of the sequence, over which the failure shows; None where it needs other errors."""
    if lag is not None and lag >= 0 and fails(lag + 1):
        return lag + 1
    if not fails(length):
        return None
    good, bad = 0, length
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if fails(middle) else (middle, bad)
    return bad


def shrunk_arguments(functions, arguments, fails):
    """{what: size} of axes that can be shortened with the failure still there; an axis of k times that length shrinks by blocks."""
    y, sizes = functions.outputs(arguments), {}
    outer = {s for k, v in y.items() for i, s in enumerate(v.shape) if i != functions.output_axis(k, v)}
    inner = {s for n, a in arguments.groups["inputs"].items() for i, s in enumerate(a.shape) if i != arguments.axis(n)}
    for length in sorted(outer | inner):
        for shorter in range(2, min(length, 4)):
            trial = _shortened(arguments, length, shorter, outer | inner)
            if fails(trial):
                name = "batch" if length in outer & inner else "n" if length in outer else "inputs"
                arguments, sizes[name] = trial, shorter
                break
    return sizes


def _shortened(arguments, length, shorter, lengths):
    values = {}
    for group in arguments.groups.values():
        for name, a in group.items():
            for axis, size in enumerate(a.shape):
                if axis == arguments.axis(name) or size % length or (size != length and size in lengths) or size // length > 8:
                    continue
                keep = [block * length + k for block in range(size // length) for k in range(shorter)]
                a = np.take(a, keep, axis=axis)
            values[name] = a
    return arguments.with_values(values)

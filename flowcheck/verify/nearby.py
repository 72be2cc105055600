"""Where a mistake begins, counted from the last step: looked for with errors sent from nearby, so that none fades on its way there.

A loop back over time that is wrong from one of its steps on is wrong there whatever error it carries; one that enters at that step or just
after it shows the mistake at full size. Inputs have a gradient at each step; of weights that of a run which begins there is looked at, in
the state reached there. What is wrong over a number of steps, such as a window, only errors from afar show: then the lag that they showed
stands.
"""

import numpy as np

from .arguments import REFUSED
from .comparison import compare_gradients
from .even_flow import DRAWS, EVEN, evenly_flowing
from .hard_inputs import randomised
from .rounding import Rounding, rounding_of
from .seeds import Seed, errors_of_window, last_step_seed, seeds_at
from .step_by_step import first_bad, weights, wrong

__all__ = ["name_lags"]

FADING, LONG = 0.1, 64
"""Gain of the random weights, and steps, over which errors fade."""
NEAR = 3
"""Errors enter at a step, and one and two steps later: what a step hands to the one before it shows only there."""


def name_lags(outcome, expected, rng):
    """Find the first bad lag, from the last step, of the entries that failed, where the comparisons so far do not settle it."""
    arguments, failed = outcome.arguments, {one.entry for one, _, _ in outcome.failed if one.bad is not None}
    if not arguments.steps or expected.intent.kind != "full":
        return
    timed = {n for n in failed if arguments.axis(n) is not None}
    params = failed & arguments.groups["params"].keys()
    lag = _first_lag(outcome, expected, timed, set() if timed else params, rng)
    if timed and params and 0 < lag < np.inf:
        _name_earlier(outcome, expected, params, int(lag), rng)


def _first_lag(outcome, expected, timed, summed, rng):
    """The first bad lag of the inputs `timed`, or else of the weights `summed`, inf where none is found; what names it is taken over."""
    arguments = outcome.arguments
    known = min((_from_the_last(one, trial) for one, trial, _ in outcome.failed if one.entry in timed | summed), default=np.inf)
    if not timed | summed or known <= 0 or timed and _settled(outcome, known):
        return known

    def look(lag, quick=False):
        return _looked(expected, arguments, timed, summed, lag, rng, quick)

    if known < np.inf and (known > arguments.steps - 1 or not (wrong(look(known - 1, quick=True)) and wrong(look(known - 1)))):
        return known
    _, bad, found = first_bad(look, int(min(known, arguments.steps)))
    if bad == 0 and summed and _only_where_a_run_begins(expected, arguments, summed, rng):
        bad = arguments.steps - 1
        found = look(bad)
    if bad is not None:
        outcome.replace([one for one in found if one.verdict == "fail"], arguments)
        return bad
    if not timed:
        _from_afar(outcome, expected, rng, summed)
    return known


def _name_earlier(outcome, expected, params, lag, rng):
    """A mistake may reach the weights of a step and, of the inputs, only those of the step before: the lags just before the inputs' first.

    Weights that are wrong at all of them are so wherever a run begins, which says nothing of the lag.
    """
    found, arguments = [], outcome.arguments
    for k in range(lag - 1, lag - 1 - NEAR, -1):
        here = _looked(expected, arguments, set(), params, k, rng) if k >= 0 else []
        if here is None:
            return
        if not wrong(here):
            if k < 0 and _only_where_a_run_begins(expected, arguments, params, rng):
                return
            outcome.replace([one for one in found if one.verdict == "fail"], arguments)
            return
        found = here


def _looked(expected, arguments, timed, summed, lag, rng, quick=False):
    """As `_near`; None where nothing there can be looked at."""
    try:
        return _near(expected, arguments, timed, summed, lag, rng, quick) or None
    except REFUSED:
        return None


def _from_the_last(one, arguments):
    """The first bad lag that a comparison shows, if its error enters at the last step."""
    return one.bad[0] if one.bad is not None and one.bad[0] is not None and one.seed.t == arguments.steps - 1 else np.inf


def _settled(outcome, lag):
    """Whether an error at the last step shows the lag before to be right."""
    return any(_from_the_last(one, trial) == lag and lag - 1 in one.tolerances for one, trial, _ in outcome.failed)


def _near(expected, arguments, timed, summed, lag, rng, quick):
    """[Comparison] of step T-1-lag: of the inputs there, and of the weights in a run from there. `quick`: no rounding is measured."""
    functions, steps = expected.functions, arguments.steps
    start, stop = steps - 1 - lag, min(steps - 1 - lag + NEAR, steps)
    seeds, found = seeds_at(functions, arguments, rng, range(start, stop)), []

    def answers(trial, errors):
        grads = [functions.grads(trial, e) for e in errors]
        return [Rounding(g) if quick else rounding_of(functions, trial, e, rng, g) for g, e in zip(grads, errors, strict=True)]

    if timed:
        given = answers(arguments, [seed.grad_outputs for seed in seeds])
        found += compare_gradients(expected, arguments, seeds, rng, only=timed, at=[start], answers=given, directions=1)
    late = expected.from_step(arguments, start) if summed else None
    if late is not None:
        given = answers(late, [errors_of_window(seed, functions, steps, start, steps) for seed in seeds])
        few = [Seed(seed.name, errors_of_window(seed, functions, steps, start, stop), seed.t) for seed in seeds]
        found += compare_gradients(expected, late.window(0, stop - start), few, rng, only=summed, answers=given, directions=1)
    for one in found:
        one.tolerances = {}
        if one.bad is not None:
            one.bad = (lag, *one.bad[1:5], start if one.seed.t < steps - 1 else None)
    return found


def _only_where_a_run_begins(expected, arguments, summed, rng):
    """Whether an error at the last step of a long run through which it fades finds the weights right, one in a run of that step wrong.

    The first step of a loop over time is easily forgotten, or wraps around to the last.
    """
    long = randomised(arguments, rng, FADING, max(LONG, arguments.steps))
    try:
        seed = last_step_seed(expected.functions, long, rng)
        whole = compare_gradients(expected, long, [seed], rng, only=summed)
        return not wrong(whole) and wrong(_near(expected, long, set(), summed, 0, rng, quick=False))
    except REFUSED:
        return False


def _from_afar(outcome, expected, rng, summed):
    """Weights that no error from nearby shows to be wrong: parts of single steps under an error at the last step."""
    weights(outcome, expected, rng, outcome.arguments, "")
    for _ in range(DRAWS):
        if all(f.lag is not None for f in outcome.findings if f.entry in summed):
            return
        even = evenly_flowing(outcome, expected, rng)
        if even is not None:
            weights(outcome, expected, rng, even, EVEN)

"""Check anyone's backward pass: two plain functions over dicts of arrays, compared per lag with an oracle of the forward pass.

An error sent from one output step alone reaches the input of step t-q over lag q alone; the gradient there is compared relative to its
own size, so that decay cannot hide a mistake. Knows nothing of the cell behind the functions unless one is handed over.
"""

from numbers import Integral

import numpy as np

from . import hard_inputs, nearby, shrink, which_term
from .declared import compare_declared
from .expected import Expected, find_states
from .intent import full, read_intent
from .matching import match_forward
from .outcome import Outcome
from .result import Mismatch
from .seeds import make_seeds, proved_time_axis
from .settle import settle
from .soundness import (
    acts_on_large_errors,
    arguments_changed,
    computing_precision,
    forward_is_finite,
    forward_is_repeatable,
    kept_between_calls,
)
from .tangents import Tangents

__all__ = ["demand", "verify_gradient"]


def demand(verification):
    """The Verification if its verdict is "pass"; raises Mismatch with its text and `.verification` otherwise."""
    if verification.verdict == "pass":
        return verification
    error = Mismatch(next(c for c in verification.checks if c.verdict != "pass"))
    error.args, error.verification = (str(verification),), verification
    raise error


def verify_gradient(forward, backward, params, inputs, state0=None, *, intent="full", time_axis="detect", cells=(), jvp=None, hard=True,
                    smallest=True, certified=False, seed=7):
    """Compare a backward pass with its forward pass, entry by entry, per output step and per lag.

        forward(params, inputs, state0) -> outputs                        dicts of arrays; integer entries are not differentiated
        backward(params, inputs, state0, grad_outputs) -> grads           one flat dict, keyed like params, inputs and state0

    The scalar differentiated is sum_k <grad_outputs[k], outputs[k]>.

    intent      "full", or what the gradient was meant to be: see `verify.intent`
    time_axis   axis of time of inputs and outputs: a number, a dict by entry (None: that entry has none), or None: the check is by entry
                only. Inputs and outputs given as lists (or dicts keyed by step) have their time in the list. "detect": axis 0 where the
                forward pass shows that it is time
    cells       Cells, one of which may be behind the functions: then the wrong term is named
    jvp         jvp(params, inputs, state0, tangents) -> output tangents, a forward-mode reference for functions that refuse complex input
    hard        after a pass, check again on harder arguments of the same shapes: random, unequal, contracting and expanding
    smallest    after a failure, find the smallest case that shows it, and with it the first bad lag of entries whose lags are summed
    certified   with a cell: bound every number rigorously by ball arithmetic (python-flint); that settles what is inconclusive
    seed        of all random numbers

    Arguments of lower precision are promoted to float64, so that the formula is judged and not its rounding; a backward that
    answers in float32 all the same is judged as float32. For the tolerances see `pieces`. A pass is of the lags in `detectable`; those
    at which a difference of a tenth could not be told from rounding, or from the reference's own error, are named in `unseen`. The verdict
    is "inconclusive" where no comparison sees anything of an entry, or where a difference was found that rounding of more than a tenth
    may explain. Where the flow is below the dtype's range, the gradient must be, too.
    Raises ValueError where the functions do not keep to the form above.
    """
    from .arguments import Arguments, Functions

    detect, axes = isinstance(time_axis, str) and time_axis == "detect", time_axis.values() if isinstance(time_axis, dict) else [time_axis]
    if not detect and not all(axis is None or isinstance(axis, Integral) and not isinstance(axis, bool) for axis in axes):
        raise ValueError(f"time_axis is {time_axis!r}, expected a whole number, a dict of them by entry, None, or 'detect'")
    rng = np.random.default_rng(seed)
    arguments = Arguments.read(params, inputs, state0 or {}, 0 if detect else time_axis)
    functions = Functions(forward, backward, 0 if detect else time_axis)
    outcome = Outcome(functions, arguments, read_intent(intent))
    given = {a.dtype for group in (params, inputs, state0 or {}) for a in map(np.asarray, group.values()) if a.dtype.kind == "f"}
    if given - {np.dtype(np.float64)}:
        outcome.notes.append(f"{', '.join(sorted(map(str, given)))} arguments were promoted to float64")

    y = functions.outputs(arguments)
    if not detect:
        _demand_axes(time_axis, arguments, y)
    unsound = forward_is_finite(arguments, y) or forward_is_repeatable(functions, arguments, y, rng)
    if unsound:
        return outcome.stopped(unsound)
    if detect and not arguments.kinds and proved_time_axis(functions, arguments, y, rng) is None:
        functions.time_axis = None
        arguments = outcome.arguments = Arguments.read(params, inputs, state0 or {}, None)
    eps, note = computing_precision(functions, arguments, y, rng)
    if note:
        outcome.notes.append(note)
    tangents = Tangents(functions, arguments, rng, jvp or getattr(forward, "jvp", None), eps)
    if not tangents.exact:
        outcome.notes.append(f"reference: {tangents.words}")

    match = match_forward(functions, arguments, y, cells) if cells else None
    if cells:
        outcome.matched(match, cells)
    declared = outcome.intent
    states = find_states(functions, arguments, y) if match is None else None
    expected = Expected(functions, tangents, declared, states, match)
    seeds = make_seeds(functions, arguments, y, rng)
    if all(s.t is None for s in seeds):
        said = "time_axis is None" if time_axis is None else "no output has the axis of time given"
        said = "no axis of time shows in inputs and outputs" if detect else said
        outcome.notes.append(f"{said}: no lag was looked at separately" + ("; give time_axis" if detect else ""))
    if declared.kind != "stochastic":
        outcome.add_finding(kept_between_calls(functions, arguments, seeds[-1]))
    comparisons, findings = compare_declared(expected, arguments, seeds, rng, measure=True)
    for finding in findings:
        outcome.add_finding(finding)
    if certified:
        able = match is not None and declared == full
        outcome.notes.append(settle(comparisons, match, arguments, rng) if able else "not certified: that takes a known cell and the full "
                             "gradient")
    outcome.add(comparisons)
    if declared.kind == "truncated":
        outcome.leave_out(expected, seeds, rng)
    for finding in arguments_changed(functions):
        outcome.add_finding(finding)
    if outcome.verdict == "pass" and declared == full and (note := acts_on_large_errors(functions, arguments, seeds[-1])):
        outcome.notes.append(note)
    if outcome.verdict != "fail" and hard:
        hard_inputs.harder(outcome, expected, rng)
    if outcome.verdict == "fail":
        if smallest:
            nearby.name_lags(outcome, expected, rng)
            shrink.first_lags(outcome, expected, rng)
        if match is not None and declared == full:
            which_term.name_terms(outcome, match, seeds)
    return outcome.verification()


def _demand_axes(time_axis, arguments, y):
    """Raises ValueError for an axis of time that no entry has, or a name that none has."""
    shapes = {n: a.shape for group in arguments.groups.values() for n, a in group.items()} | {n: v.shape for n, v in y.items()}
    if isinstance(time_axis, dict):
        if unknown := sorted(str(n) for n, axis in time_axis.items() if axis is not None and n not in shapes):
            raise ValueError(f"time_axis names {', '.join(unknown)}, expected entries or outputs: {', '.join(shapes)}")
        axes = time_axis
    else:
        axes = dict.fromkeys(arguments.groups["inputs"].keys() - arguments.kinds.keys(), time_axis)
    lacking = {n: axis for n, axis in axes.items() if axis is not None and not -len(shapes[n]) <= axis < len(shapes[n])}
    if lacking and (isinstance(time_axis, dict) or len(lacking) == len(axes)):
        name, axis = next(iter(lacking.items()))
        raise ValueError(f"time_axis {axis}: {name} has shape {shapes[name]}; number the axis of time from 0")

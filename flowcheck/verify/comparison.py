"""One backward pass beside its reference: entry by entry, error by error, lag by lag, each relative to the gradient's size there.

Tolerances are derived: (q + 1) sqrt(eps) at lag q, since a slope computed from a rounded activation (1 - y^2) may lose half its digits
at each step, plus 32 times the change of the tested gradient when every number given to it moves by one ulp (its conditioning).
"""

import functools
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Comparison", "compare_gradients", "fits_single", "lags_of", "saturation", "scatter"]

SMALLEST = 1e-200
"""Below this a gradient is not compared: the complex step (2^-300) and products of a few more factors reach the end of float64."""
SATURATED, MOST_LOSS = 1e-6, 0.5
"""An output y within 1e-6 of +-1 leaves at most ten digits in 1 - y^2: its relative rounding is eps / (1 - |y|) at each step. An error that
this can explain is no failure but inconclusive, up to a half; a larger one is a failure all the same."""
DIRECTIONS = 3
NEAR, NEIGHBOURS, ROUGH, SURE = 2.0**-12, 9, 0.1, 6.0
"""Neighbours at relative distance 2^-12 change the relative error of a mistake by a few hundredths at most; one that changes by a tenth is
rounding, and what it may be elsewhere is taken as 6 times what it is at ten places."""
SMALL_ERROR, SMALL_THERE = 1e-5, 1e-2
"""Errors up to which rounding may be the reason: on the user's arguments, and on random ones, whose gates may be saturated at will."""
WIDE = 0.1
"""Where rounding, or the reference's own error, exceeds a tenth of the gradient, nothing is said."""


@dataclass
class Comparison:
    """One entry under one seed. Lists run over what was compared: a lag each, or the one item None.

    verdict     "pass", "fail", "inconclusive"
    arguments   those of `grad` where they are not those of the check
    bad         (lag, error, tolerance, got, expected) of the first lag that fails, else None
    """

    entry: str
    group: str
    seed: object
    grad: np.ndarray | None = None
    arguments: object = None
    verdict: str = "pass"
    words: str = ""
    bad: tuple | None = None
    error: float = 0.0
    tolerances: dict = field(default_factory=dict)
    sizes: dict = field(default_factory=dict)
    below: list = field(default_factory=list)
    doubtful: list = field(default_factory=list)
    unseen: list = field(default_factory=list)
    gap: float = 1.0


def lags_of(arguments, name, at=None):
    """Steps of a time-indexed entry that are compared: all up to 256, then all near both ends and 128 between. None: no axis of time."""
    if arguments.axis(name) is None or arguments.steps is None:
        return [None]
    steps = arguments.steps
    if at is not None:
        return [t for t in at if 0 <= t < steps]
    if steps <= 256:
        return list(range(steps))
    return sorted({*range(32), *range(steps - 64, steps), *np.linspace(32, steps - 65, 128).astype(int).tolist()})


def compare_gradients(expected, arguments, seeds, rng, *, only=None, at=None, moves=2, answers=None, factor=32.0,
                      directions=None, limit=SMALL_ERROR):
    """[Comparison] of every entry under every seed.

    only    names of entries to compare; at: steps of time-indexed entries to compare; moves: ulp-moved calls for the conditioning;
            directions: how many random ones at each; limit: of errors that may be rounding inside the functions, see `scatter`
    answers [(gradients, [gradients after a small change])] a seed, instead of calling backward; factor: weight of that change
    """
    functions, found, as_given = expected.functions, [], answers is None
    gap = saturation(functions.outputs(arguments))
    if answers is None:
        answers = []
        for seed in seeds:
            grads = functions.grads(arguments, seed.grad_outputs)
            eps = max((float(np.finfo(g.dtype).eps) for g in grads.values() if g is not None and g.dtype.kind == "f"), default=0.0)
            answers.append((grads, [functions.grads(arguments.ulp_moved(rng, eps), seed.grad_outputs) for _ in range(moves)]))
    for group, name, array in arguments.entries():
        if only is not None and name not in only:
            continue
        comparisons, live = [], []
        for seed, (grad, noisy) in zip(seeds, answers, strict=True):
            one = _well_formed(Comparison(name, group, seed, grad.get(name), gap=gap), array)
            comparisons.append(one)
            if one.verdict == "pass":
                live.append((one, [np.asarray(m[name], float) - one.grad for m in noisy]))
        if live:
            _compare_entry(expected, arguments, name, array, live, rng, gap, at, factor, directions, limit if as_given else 0.0)
        found += comparisons
    return found


def scatter(error, grad, again, arguments, rng, limit):
    """Size of a small relative error where it is rounding inside the functions (at saturated gates, say), else 0.

    Rounding is another at each neighbour; a mistake makes nearly the same relative error there, and one in single precision shows in the
    numbers. again(neighbour) -> relative error.
    """
    if not abs(error) < limit or fits_single(grad):
        return 0.0
    errors = [error]
    for _ in range(NEIGHBOURS):
        signs = {n: rng.normal(size=a.shape) for n, a in arguments.values().items()}
        errors.append(again(arguments.moved(signs, NEAR)))
    rough = np.std(errors, ddof=1) > ROUGH * abs(np.mean(errors))
    return float(np.sqrt(np.mean(np.square(errors)))) if rough else 0.0


def fits_single(grad):
    """Whether double-precision numbers are all single-precision ones: something inside rounds to float32."""
    return grad.dtype == np.float64 and grad.size > 3 and bool(np.any(grad)) and np.array_equal(grad, grad.astype(np.float32))


def _well_formed(one, array):
    if one.grad is None:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: backward returns no gradient for it"
    elif one.grad.shape != array.shape:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: shape {one.grad.shape}, expected {array.shape}"
    return one


def _compare_entry(expected, arguments, name, array, live, rng, gap, at, factor, number=None, limit=0.0):
    pieces = lags_of(arguments, name, at)
    number = number or (2 if len(pieces) > 12 else DIRECTIONS)
    number = min(number, max(1, array.size // (arguments.steps if pieces[0] is not None else 1)))
    order = pieces if pieces[0] is None else sorted(pieces, reverse=True)
    for t in order:
        where = ... if t is None else arguments.at_step(name, t)
        directions = [np.asarray(rng.normal(size=array[where].shape)) for _ in range(number)]
        rows = []
        for v in directions:
            whole = np.zeros(array.shape)
            whole[where] = v
            rows.append(expected.declared(arguments, name, t, whole, [one.seed for one, _ in live]))
        for k, (one, noise) in enumerate(live):
            lag = None if t is None or one.seed.t is None else one.seed.t - t
            step = t if lag is None else None
            answers = [row[k] for row in rows]
            if any(a is None for a in answers):
                one.unseen.append(lag)
                continue
            got = [float(np.sum(np.asarray(one.grad[where], float) * v)) for v in directions]
            shift = max((abs(float(np.sum(n[where] * v))) for n in noise for v in directions), default=0.0)

            again = functools.partial(_relative, expected, name, t, where, directions[0], one.seed) if limit else None
            if again is not None:
                again = functools.partial(scatter, again=again, arguments=arguments, rng=rng, limit=limit)
            _judge(one, lag, step, arguments.steps, got, answers, factor * shift, gap, again)
    for one, _ in live:
        _conclude(one)


def _relative(expected, name, t, where, v, seed, trial):
    """Relative error along one direction at other arguments."""
    whole = np.zeros(trial.values()[name].shape)
    whole[where] = v
    right = expected.declared(trial, name, t, whole, [seed])[0][0]
    got = float(np.sum(np.asarray(expected.functions.grads(trial, seed.grad_outputs)[name][where], float) * v))
    return (got - right) / abs(right) if right else np.inf


def _judge(one, lag, step, length, got, answers, shift, gap, scattered=None):
    """Compare one piece; a piece of a seed that enters everywhere is judged by its own size, at the lag None."""
    info = np.finfo(one.grad.dtype if np.issubdtype(one.grad.dtype, np.floating) else float)
    tiny = max(float(info.tiny / info.eps), SMALLEST)
    expected, widths = [a[0] for a in answers], max(a[1] for a in answers)
    steps = abs(lag) if lag is not None else 0
    largest = max(map(abs, expected))
    size = largest and largest * float(np.sqrt(np.mean(np.square(np.divide(expected, largest)))))
    difference = float(np.max(np.abs(np.subtract(got, expected))))
    if widths > 0:  # a reference with an error estimate of its own
        if widths > WIDE * size:
            if not difference <= 100 * widths + tiny:
                _fail(one, lag, step, difference / max(size, widths), 100 * widths / max(size, widths), got, expected)
            else:
                one.unseen.append(lag)
            return
    elif size <= tiny:
        if not difference <= tiny:
            _fail(one, lag, step, np.inf, 0.0, got, expected)
        else:
            one.below.append(lag)
        return
    tolerance = float((1 + steps) * np.sqrt(info.eps)) + shift / size + 10 * widths / size
    error = difference / size
    loss = ((length or 1) if lag is None else 1 + steps) * info.eps / gap if gap < SATURATED else 0.0
    one.tolerances[lag] = max(tolerance, one.tolerances.get(lag, 0.0))
    one.sizes[lag] = size
    if not error <= max(tolerance, min(loss, MOST_LOSS)):
        small = scattered is not None and error < scattered.keywords["limit"]
        noise = scattered((got[0] - expected[0]) / size, one.grad) if small else 0.0
        if noise:
            one.tolerances[lag] = max(error, SURE * noise)
            one.error = max(one.error, error)
            return
        _fail(one, lag, step, error, tolerance, got, expected)
    elif error > tolerance or tolerance > WIDE:
        one.doubtful.append(lag)
    one.error = max(one.error, error)


def _fail(one, lag, step, error, tolerance, got, expected):
    key = abs(lag) if lag is not None else -1
    if one.bad is None or (one.bad[0] is not None and key < abs(one.bad[0])):
        one.bad = (lag, float(error), float(tolerance), got, expected, step)


def _conclude(one):
    if one.bad is not None:
        one.verdict = "fail"
    elif one.doubtful or (one.unseen and not one.tolerances and not one.below):
        one.verdict = "inconclusive"


def saturation(y):
    """Least distance of an output within [-1, 1] from its ends: a small one loses digits of a slope computed from the output."""
    gaps = [1 - np.abs(v[np.abs(v) <= 1]) for v in y.values() if np.issubdtype(v.dtype, np.floating)]
    return max(min((float(g.min(initial=1.0)) for g in gaps), default=1.0), float(np.finfo(float).eps))

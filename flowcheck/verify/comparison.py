"""One backward pass beside its reference: entry by entry, error by error, lag by lag, each relative to the gradient's size there.

The tolerance at lag q is (q + 1) sqrt(eps) and, where that is exceeded, what rounding does to the tested gradient, as measured; see
`rounding`. The first part covers slopes taken from rounded values, such as 1 - y^2, without a measurement: where 1 - |y| is above
sqrt(eps), rounding of y costs the slope at most sqrt(eps) a step, and of q + 1 slopes the relative errors add; where it is below, the
slope is itself below 2 sqrt(eps) and stops the flow. A net in which nothing else flows is what the measurement is for.
"""

from dataclasses import dataclass, field

import numpy as np

from .rounding import of_neighbours, rounding_of

__all__ = ["Comparison", "compare_gradients", "fits_single", "lags_of", "saturation"]

SMALLEST = 1e-200
"""Below this a gradient is not compared: the complex step (2^-300) and products of a few more factors reach the end of float64."""
SATURATED, MOST_LOSS = 1e-6, 0.5
"""Where the arithmetic inside cannot be perturbed: an output y within 1e-6 of +-1 leaves at most ten digits in 1 - y^2, whose relative
rounding is eps / (1 - |y|) at each step. An error up to a half that this explains is no failure but inconclusive."""
DIRECTIONS = 3
TRUST, FAR = 3.0, 100.0
"""The error estimate of extrapolated differences is a heuristic: it is believed to a factor of three. Measured on 8,857 derivatives of the
right nets of benchmarks/detection, single and double precision, spectral radius 0.3 to 5: the error is half of the time below 0.03 of
the estimate, once in a thousand above 0.25, at most 0.39. Doubled, 50 % of the lags of 96 nets in single precision are seen instead of
59 %, on the arguments given. Where the estimate is wide, only what is off by a hundred of it is wrong."""
WIDE = 0.1
"""Where rounding, or the reference's own error, exceeds a tenth of the gradient, a lag counts as unseen. A convention: doubled, 65 % of
those lags count as seen instead of 59 %; no verdict changes."""


@dataclass
class Comparison:
    """One entry under one seed. Lists run over what was compared: a lag each, or the one item None.

    verdict     "pass", "fail", "inconclusive"
    doubtful    differences were found that rounding of more than a tenth may explain, or may not
    unseen      no difference was found, and none of a tenth would have been
    unknown     whether there is no reference at all for a part of what was declared
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
    below: list = field(default_factory=list)
    doubtful: list = field(default_factory=list)
    unseen: list = field(default_factory=list)
    unknown: bool = False
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


def compare_gradients(expected, arguments, seeds, rng, *, only=None, at=None, answers=None, directions=None, measure=False):
    """[Comparison] of every entry under every seed.

    only      names of entries to compare; at: steps of time-indexed entries to compare; directions: how many random ones at each
    answers   [rounding.Rounding], one a seed, instead of calling backward
    measure   unless something fails, rounding of the answers to the first seed at every lag, to be reported; else only where an error
              calls for it
    """
    functions, found, passed, as_given = expected.functions, [], [], answers is None
    gap = saturation(functions.outputs(arguments))
    answers = [rounding_of(functions, arguments, seed.grad_outputs, rng) for seed in seeds] if as_given else answers
    for group, name, array in arguments.entries():
        if only is not None and name not in only:
            continue
        pairs = []
        for seed, answer in zip(seeds, answers, strict=True):
            one = _well_formed(Comparison(name, group, seed, answer.answer.get(name), gap=gap), array, answer.answer)
            found.append(one)
            pairs += [(one, answer)] if one.verdict == "pass" else []
        if pairs:
            passed += _compare_entry(expected, arguments, name, array, pairs, rng, at, directions, as_given)
    if measure and all(one.verdict != "fail" and one.bad is None for one in found):
        for one, piece, rounding in passed:
            if one.seed is seeds[0]:
                _measure(one, piece, rounding)
    for one in found:
        _conclude(one)
    return found


def fits_single(grad):
    """Whether double-precision numbers are all single-precision ones: something inside rounds to float32."""
    return grad.dtype == np.float64 and grad.size > 3 and bool(np.any(grad)) and np.array_equal(grad, grad.astype(np.float32))


def _well_formed(one, array, answer):
    if one.entry not in answer:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: missing, backward returns {', '.join(answer) or 'nothing'}; a constant, " \
            "such as a mask, is handed over as integers or booleans"
    elif one.grad is None:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: backward returns None for it; a constant, such as a mask, is handed over " \
            "as integers or booleans"
    elif one.grad.shape != array.shape:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: shape {one.grad.shape}, expected {array.shape}"
    return one


def _compare_entry(expected, arguments, name, array, pairs, rng, at, number, as_given):
    """[(Comparison, piece, rounding)] of what passed without a measurement of rounding."""
    pieces = lags_of(arguments, name, at)
    number = number or (2 if len(pieces) > 12 else DIRECTIONS)
    number = min(number, max(1, array.size // (arguments.steps if pieces[0] is not None else 1)))
    order, passed = pieces if pieces[0] is None else sorted(pieces, reverse=True), []
    for t in order:
        where = ... if t is None else arguments.at_step(name, t)
        directions = [np.asarray(rng.normal(size=array[where].shape)) for _ in range(number)]
        rows = []
        for v in directions:
            whole = np.zeros(array.shape)
            whole[where] = v
            rows.append(expected.declared(arguments, name, t, whole, [one.seed for one, _ in pairs]))
        for k, (one, answer) in enumerate(pairs):
            references = [row[k] for row in rows]
            lag = None if t is None or one.seed.t is None else one.seed.t - t
            if any(a is None for a in references):
                one.unseen.append(lag)
                one.unknown = True
                continue

            def along(grads, where=where, directions=directions):
                return [float(np.sum(np.asarray(grads[name][where], float) * v)) for v in directions]

            def again(trial, where=where, v=directions[0], seed=one.seed, t=t):
                return _relative(expected, name, t, where, v, seed, trial)

            piece = _Piece(lag, t if lag is None else None, (arguments.steps or 1) if lag is None else 1 + abs(lag),
                           along(answer.answer), [a[0] for a in references], max(a[1] for a in references))
            neighbours = (lambda error, again=again: of_neighbours(error, again, arguments, rng)) if as_given else None
            rounding = lambda enough, a=answer, f=along: (a.bound(f, enough), a.inside)  # noqa: E731
            if _judge(one, piece, rounding, neighbours):
                passed.append((one, piece, rounding))
    return passed


def _relative(expected, name, t, where, v, seed, trial):
    """Relative error along one direction at other arguments."""
    whole = np.zeros(trial.values()[name].shape)
    whole[where] = v
    right = expected.declared(trial, name, t, whole, [seed])[0][0]
    got = float(np.sum(np.asarray(expected.functions.grads(trial, seed.grad_outputs)[name][where], float) * v))
    return (got - right) / abs(right) if right else np.inf


@dataclass(frozen=True)
class _Piece:
    """One entry at one step, or whole: `got` and `expected` along some directions, the reference's own `width`, over `steps` slopes.

    lag None: of a seed that enters everywhere, judged by its own size; `step` says where.
    """

    lag: int | None
    step: int | None
    steps: int
    got: list
    expected: list
    width: float

    @property
    def size(self):
        """Root mean square, safe from underflow."""
        largest = max(map(abs, self.expected))
        return largest and largest * float(np.sqrt(np.mean(np.square(np.divide(self.expected, largest)))))

    @property
    def difference(self):
        return float(np.max(np.abs(np.subtract(self.got, self.expected))))


def _judge(one, piece, rounding, neighbours=None):
    """Compare one piece; whether it passes without rounding(enough) -> (bound, inside), which is called where it is needed."""
    info = _precision(one)
    tiny = max(float(info.tiny / info.eps), SMALLEST)
    lag, width, size, difference = piece.lag, piece.width, piece.size, piece.difference
    if width > 0:  # a reference with an error estimate of its own
        if TRUST * width > WIDE * size:
            if not difference <= FAR * width + tiny:
                _fail(one, piece, difference / max(size, width), FAR * width / max(size, width))
            else:
                one.unseen.append(lag)
            return False
    elif size <= tiny:
        if not difference <= tiny:
            _fail(one, piece, np.inf, 0.0)
        else:
            one.below.append(lag)
        return False
    error, tolerance = difference / size, _tolerance(one, piece)
    if error <= tolerance:
        one.error = max(one.error, error)
        if tolerance > WIDE:
            one.unseen.append(lag)
            return False
        one.tolerances[lag] = max(tolerance, one.tolerances.get(lag, 0.0))
        return True
    bound, inside = rounding(max(tolerance * size, difference - tolerance * size))
    tolerance += bound / size
    one.tolerances[lag] = max(tolerance, one.tolerances.get(lag, 0.0))
    if not error <= tolerance and not inside:
        loss = piece.steps * info.eps / one.gap if one.gap < SATURATED else 0.0
        if error <= min(loss, MOST_LOSS):
            one.doubtful.append(lag)
            one.error = max(one.error, error)
            return False
        if neighbours is not None and not fits_single(one.grad):
            tolerance = max(tolerance, neighbours((piece.got[0] - piece.expected[0]) / size))
            one.tolerances[lag] = max(tolerance, one.tolerances[lag])
    if not error <= tolerance:
        _fail(one, piece, error, tolerance)
    elif tolerance > WIDE:
        one.doubtful.append(lag)
    one.error = max(one.error, error)
    return False


def _measure(one, piece, rounding):
    """Widen the tolerance of a piece that passed by the rounding that is measured there; unseen where that leaves too much open."""
    tolerance = _tolerance(one, piece)
    tolerance += rounding(tolerance * piece.size)[0] / piece.size
    if tolerance <= WIDE and piece.lag not in one.unseen:
        one.tolerances[piece.lag] = max(tolerance, one.tolerances[piece.lag])
    elif one.tolerances.pop(piece.lag, None):
        one.unseen.append(piece.lag)


def _tolerance(one, piece):
    """Without a measurement of rounding, relative."""
    return piece.steps * float(np.sqrt(_precision(one).eps)) + TRUST * piece.width / piece.size


def _precision(one):
    return np.finfo(one.grad.dtype if np.issubdtype(one.grad.dtype, np.floating) else float)


def _fail(one, piece, error, tolerance):
    key = abs(piece.lag) if piece.lag is not None else -1
    if one.bad is None or (one.bad[0] is not None and key < abs(one.bad[0])):
        one.bad = (piece.lag, float(error), float(tolerance), piece.got, piece.expected, piece.step)


def _conclude(one):
    if one.bad is not None:
        one.verdict = "fail"
    elif one.doubtful or (one.unseen and not one.tolerances and not one.below):
        one.verdict = "inconclusive"


def saturation(y):
    """Least distance of an output within [-1, 1] from its ends: a small one loses digits of a slope computed from the output."""
    gaps = [1 - np.abs(v[np.abs(v) <= 1]) for v in y.values() if np.issubdtype(v.dtype, np.floating)]
    return max(min((float(g.min(initial=1.0)) for g in gaps), default=1.0), float(np.finfo(float).eps))

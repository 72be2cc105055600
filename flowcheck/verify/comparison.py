"""One backward pass beside its reference: entry by entry, error by error, lag by lag, each relative to the gradient's size there.

What passes at one step or lag, and under which tolerance, is `pieces`.
"""

from dataclasses import dataclass, field

import numpy as np

from .pieces import Piece, judge, measure_piece
from .rounding import of_neighbours, rounding_of

__all__ = ["Comparison", "compare_gradients", "lags_of", "saturation"]

DIRECTIONS = 3


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

    @property
    def is_finite(self):
        """Whether the gradient is an array of finite real numbers."""
        return self.grad is not None and self.grad.dtype.kind in "fiub" and bool(np.isfinite(self.grad).all())


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
                measure_piece(one, piece, rounding)
    for one in found:
        _conclude(one)
    return found


def _well_formed(one, array, answer):
    if one.entry not in answer:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: missing, backward returns {', '.join(answer) or 'nothing'}; a constant, " \
            "such as a mask, is handed over as integers or booleans"
    elif one.grad is None:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: backward returns None for it; a constant, such as a mask, is handed over " \
            "as integers or booleans"
    elif one.grad.shape != array.shape:
        one.verdict, one.words = "fail", f"dE/d{one.entry}: shape {one.grad.shape}, expected {array.shape}"
    elif one.grad.dtype.kind not in "fiub":
        one.verdict, one.words = "fail", f"dE/d{one.entry}: backward returns {one.grad.dtype} numbers, expected real ones"
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
                with np.errstate(invalid="ignore"):  # of a gradient that is not finite
                    return [float(np.sum(np.asarray(grads[name][where], float) * v)) for v in directions]

            def again(trial, where=where, v=directions[0], seed=one.seed, t=t):
                return _relative(expected, name, t, where, v, seed, trial)

            piece = Piece(lag, t if lag is None else None, (arguments.steps or 1) if lag is None else 1 + abs(lag),
                           along(answer.answer), [a[0] for a in references], max(a[1] for a in references))
            neighbours = (lambda error, again=again: of_neighbours(error, again, arguments, rng)) if as_given else None
            rounding = lambda enough, a=answer, f=along: (a.bound(f, enough), a.inside)  # noqa: E731
            if judge(one, piece, rounding, neighbours):
                passed.append((one, piece, rounding))
    return passed


def _relative(expected, name, t, where, v, seed, trial):
    """Relative error along one direction at other arguments."""
    whole = np.zeros(trial.values()[name].shape)
    whole[where] = v
    right = expected.declared(trial, name, t, whole, [seed])[0][0]
    got = float(np.sum(np.asarray(expected.functions.grads(trial, seed.grad_outputs)[name][where], float) * v))
    return (got - right) / abs(right) if right else np.inf


def _conclude(one):
    if one.bad is not None:
        one.verdict = "fail"
    elif one.doubtful or (one.unseen and not one.tolerances and not one.below):
        one.verdict = "inconclusive"


def saturation(y):
    """Least distance of an output within [-1, 1] from its ends: a small one loses digits of a slope computed from the output."""
    gaps = [1 - np.abs(v[np.abs(v) <= 1]) for v in y.values() if np.issubdtype(v.dtype, np.floating)]
    return max(min((float(g.min(initial=1.0)) for g in gaps), default=1.0), float(np.finfo(float).eps))

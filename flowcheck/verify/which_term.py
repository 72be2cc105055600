"""Which term of a known cell's backward pass is wrong: the single mutations of the right one that reproduce the numbers found.

Hypotheses are screened on the few steps around the first bad lag, run in full where they fit there, and then tried on other arguments,
so that one which fits by accident is dropped.
"""

from dataclasses import dataclass, replace

import numpy as np

from .adjoint import Adjoint
from .arguments import REFUSED
from .hard_inputs import randomised
from .mutations import Mutation, every_mutation, weight_mutations

__all__ = ["Hypothesis", "explain", "name_terms"]

FITS = 1e-6
"""A mutation explains a gradient if it agrees with it to what rounding leaves of a recurrent gradient in double precision, at its size
at every lag; FITS_SINGLE for a backward pass in single precision."""
FITS_SINGLE = 1e-3
SUM_ROUNDING = 1e-13
"""Rounding of a sum over some hundred steps, relative to its largest entry."""
SCREEN = 3
"""Steps around the first bad lag on which every mutation is tried."""


@dataclass(frozen=True)
class Hypothesis:
    """A mutation, made at lags >= `start`, its constant where it has one, and how far its gradient is from the one found.

    at_start   whether it explains the gradient at the initial states too, which many a loop computes apart
    """

    mutation: Mutation
    start: int
    scale: float
    distance: float
    at_start: bool = True

    @property
    def words(self):
        text = self.mutation.words
        if self.mutation.free_scale:
            known = {"dropped": "is missing", "sign": "has the wrong sign"}
            if not self.mutation.errors and not self.mutation.weights:
                known["twice"] = "is counted twice"
            text = f"{self.mutation.term}: " + known.get(self.kind, f"is {self.scale:.4g} times what it should be")
        text = text if text.startswith(self.mutation.term) else f"{self.mutation.term}: {text}"
        return text + (f" (at lags from {self.start} on)" if self.start else "")

    @property
    def kind(self):
        if not self.mutation.free_scale:
            return self.mutation.kind
        return {0.0: "dropped", -1.0: "sign", 2.0: "twice"}.get(round(self.scale, 6) + 0.0, "scaled")


class _Case:
    """The gradient found and the right one, for errors at one place, on one set of arguments."""

    def __init__(self, match, arguments, functions, rng, everywhere, failed=()):
        self.match, self.arguments = match, arguments
        self.run = match.run(arguments)
        self.adjoint = Adjoint(self.run)
        steps, y = arguments.steps, functions.outputs(arguments)
        grad_outputs = {k: np.zeros_like(v) for k, v in y.items() if v.dtype.kind == "f"}
        for k in match.outputs:
            axis = functions.output_axis(k, y[k])
            keep = np.ones(steps) if everywhere else np.arange(steps) == steps - 1
            grad_outputs[k] = rng.normal(size=y[k].shape) * keep.reshape([-1 if i == axis else 1 for i in range(y[k].ndim)])
        self.errors = match.errors(grad_outputs)
        grads = functions.grads(arguments, grad_outputs)
        self.right = self.adjoint.backward(self.errors)
        self.wanted = match.gradients(arguments, self.adjoint.gradients(self.right))
        self.found = {k: np.asarray(grads[k], float) for k, v in self.wanted.items()
                      if grads.get(k) is not None and np.shape(grads[k]) == v.shape}
        self.single = any(grads[k].dtype == np.float32 for k in self.found)
        self.x = match.layout.x if match.layout.x in self.found else None
        starts = set(match.states.values()) & self.found.keys()
        self.judged = self.found.keys() - starts
        if self.distance(self.wanted) <= FITS:
            self.judged = self.found.keys()
        self.starts = starts - self.judged
        self.failed = self.found.keys() & set(failed) or self.found.keys()
        self.off = self.distance(self.wanted, only=self.failed)
        self.noise = max(SUM_ROUNDING, min(FITS, self.distance(self.wanted, only=self.found.keys() - self.failed)))

    def pieces(self, name, array):
        """One row per step of the input, else one row."""
        if name != self.x:
            return array.reshape(1, -1)
        moved = np.moveaxis(array, self.arguments.axis(name), 0)
        return moved.reshape(len(moved), -1)

    def distance(self, predicted, steps=None, only=None):
        """Largest relative distance to the gradient found, over entries and, for the input, over steps."""
        worst = 0.0
        for name, found in self.found.items():
            if name not in (self.judged if only is None else only):
                continue
            a, b, right = (self.pieces(name, g) for g in (predicted[name], found, self.wanted[name]))
            if steps is not None and name == self.x:
                a, b, right = a[steps], b[steps], right[steps]
            size = np.maximum(np.abs(b).max(axis=1), np.abs(right).max(axis=1))
            gap = np.abs(a - b).max(axis=1)
            compared = size > 1e-250
            if np.any(compared):
                with np.errstate(all="ignore"):
                    ratio = gap[compared] / size[compared]
                worst = max(worst, float(np.max(np.where(np.isfinite(ratio), ratio, np.inf))))
        return worst

    def first_bad(self, tolerance):
        """First lag, counted from the last step, at which the input's gradient is wrong; None where it is right or not there."""
        if self.x is None or self.x not in self.failed:
            return None
        a, b = self.pieces(self.x, self.wanted[self.x]), self.pieces(self.x, self.found[self.x])
        size = np.maximum(np.abs(a).max(axis=1), np.abs(b).max(axis=1))
        bad = np.flatnonzero((np.abs(a - b).max(axis=1) > tolerance * size) & (size > 1e-250))
        return len(a) - 1 - int(bad[-1]) if len(bad) else None

    def predict(self, mutation, start, scale=1.0):
        wrong = self.adjoint.backward(self.errors, mutation, start, scale) if _moves_errors(mutation) else self.right
        return self.match.gradients(self.arguments, self.adjoint.gradients(wrong, mutation, start, scale))


def name_terms(outcome, match, seeds):
    """Give the findings of an Outcome the terms that explain them."""
    if not outcome.failed or not match.outputs or not all(one.is_finite for one, _, _ in outcome.failed):
        return
    arguments = next((a for one, a, _ in outcome.failed if one.bad and one.bad[0] is not None), outcome.failed[0][1])
    lags = {f.lag for f in outcome.findings if f.lag}
    bad = {one.entry for one, _, _ in outcome.failed}
    fits, tried, told_apart = explain(match, arguments, outcome.functions, lags, bad)
    if not fits:
        outcome.notes.append(f"none of {tried} single changes of the backward pass of {match.cell.name} reproduces these numbers")
        return
    best, others = fits[0], fits[1:]
    words = f"wrong term: {best.words}" + (f" [{best.mutation.plain}]" if best.mutation.plain else "")
    if others:
        words += f"; or {'; or '.join(h.words for h in others[:2])}" + (f" ({len(others) - 2} more)" if len(others) > 2 else "")
        words += "; no arguments tried tell these apart"
    elif told_apart:
        words += f"; {told_apart} other changes fit here and were told apart by random weights, inputs and states"
    outcome.findings = [
        replace(f, term=best.mutation.term, words=f"{words}; {f.words}" if k == 0 else f.words, formula=best.mutation.formula,
                hypotheses=tuple(h.words for h in fits[:8])) if f.entry in bad and f.verdict == "fail" else f
        for k, f in _counted(outcome.findings, bad)]


def _counted(findings, bad):
    """Findings, the failed entries among them numbered from 0 in the order in which they are shown."""
    number = -1
    for f in sorted(findings, key=lambda f: (f.lag is None, f.entry != "x")):
        number += f.entry in bad
        yield number, f


def explain(match, arguments, functions, lags=(), failed=(), seed=3):
    """([Hypothesis], number tried, number told apart): single mutations that reproduce the gradient that backward returns, best first.

    One hypothesis for each term, the best. `lags`: lags from which sums over time may be wrong; `failed`: entries that are wrong, what the
    others differ by from the right gradient is rounding.
    """
    rng = np.random.default_rng(seed)
    cases = [_Case(match, arguments, functions, rng, everywhere, failed) for everywhere in (False, True)]
    tolerance = FITS_SINGLE if cases[0].single else max(FITS, 10 * min(case.noise for case in cases))
    entries = {}
    for block, param in match.blocks:
        entries.setdefault(block.entry, []).append(param)
    lengths = tuple(match.kernel.lengths(cases[0].run.params).items())
    mutations = [*every_mutation(match.cell, lengths), *weight_mutations(match.cell, entries, lengths)]
    bad = cases[0].first_bad(tolerance)
    if bad is None and cases[0].off < cases[1].off:
        cases = cases[::-1]
        bad = cases[0].first_bad(tolerance)
    case, fits = cases[0], []
    starts = sorted({0, *([bad, bad - 1] if bad else [])} - {-1})
    for mutation in mutations:
        late = [s for s in starts if s or (bad or 0) < 2 or mutation.kind == "shifted in time"]
        for start in (sorted({0, *lags}) if bad is None else late):
            fit = _fit(case, mutation, start, bad, tolerance)
            if fit is not None:
                fits.append(fit)
    fits = [f for f in fits if _still_fits(f, cases[1], tolerance)]
    before = len({(f.mutation.term, f.kind) for f in fits})
    for trial in range(4):
        if len({(f.mutation.term, f.kind) for f in fits}) < 2:
            break
        fits = _tell_apart(fits, match, arguments, functions, rng, trial, tolerance, failed)
    fits = sorted(fits, key=lambda f: (_order(f), not f.at_start, f.start))
    best = {}
    for fit in fits:
        best.setdefault(fit.mutation.term, fit)
    return list(best.values()), len(mutations), before - len({(f.mutation.term, f.kind) for f in fits})


def _order(fit):
    """Plain mistakes before contrived ones where both fit: one term before several, a named change before a fitted constant."""
    return (len(fit.mutation.edges) > 1 or len(fit.mutation.carry) > 1, fit.kind == "scaled")


def _moves_errors(mutation):
    return bool(mutation.partials or mutation.edges or mutation.carry or mutation.swap or mutation.errors)


def _sums_fit(case, predicted):
    """Whether predicted weight gradients have the deviation found: to a thousandth, or to the sum's rounding where it has none."""
    deviates = False
    for name in case.judged:
        found, right, guess = case.found[name], case.wanted[name], predicted[name]
        off, size = np.abs(found - right).max(initial=0.0), np.abs(right).max(initial=0.0)
        rounding = case.noise * size
        deviates |= off > 10 * rounding
        if not np.abs(guess - found).max(initial=0.0) <= 1e-3 * off * (off > 10 * rounding) + 10 * rounding:
            return False
    return deviates


def _fit(case, mutation, start, bad, tolerance):
    """The Hypothesis if the mutation explains the gradient found, else None."""
    scale, window = 1.0, None
    if bad is not None:
        if not _moves_errors(mutation):
            return None
        first = case.run.steps - 1 - max(start - 1, 0) if start else case.run.steps - 1
        last = max(0, case.run.steps - 1 - bad - SCREEN)
        window = (first, last, slice(last, case.run.steps - bad))
    elif _moves_errors(mutation) and case.x is not None:
        return None
    if mutation.free_scale:
        scale = _fitted_scale(case, mutation, start, bad)
        if scale is None:
            return None
    if window is not None:
        first, last, steps = window
        wrong = case.adjoint.backward(case.errors, mutation, start, scale, first, last, case.right.carried.get(first))
        moved = case.match.layout.back(next(iter(wrong.inputs.values())), case.arguments.axis(case.x), case.found[case.x].shape)
        if case.distance({case.x: moved}, steps=steps, only={case.x}) > tolerance:
            return None
    predicted = case.predict(mutation, start, scale)
    distance = case.distance(predicted)
    if not (_sums_fit(case, predicted) if bad is None else distance <= tolerance):
        return None
    at_start = case.distance(predicted, only=case.starts) <= tolerance
    if mutation.errors == "scaled" and not at_start:
        return None  # not the whole gradient then
    return Hypothesis(mutation, start, scale, distance, at_start)


def _fitted_scale(case, mutation, start, bad):
    """The constant for which the term's part of the gradient makes up the difference at the first bad lag, or of the bad entries."""
    gone = _pieces_at(case, case.predict(mutation, start, 0.0) if bad is None else _near(case, mutation, start, bad, 0.0), bad)
    once = _pieces_at(case, case.wanted, bad)
    found = _pieces_at(case, case.found, bad)
    part, rest = once - gone, found - gone
    size = float(part @ part)
    if not size > 0 or not np.isfinite(size):
        return None
    scale = float(part @ rest) / size
    if bad is not None and not np.allclose(rest, scale * part, rtol=0, atol=1e-3 * np.abs(found).max(initial=0.0) + 1e-300):
        return None
    near = [v for v in (0.0, -1.0, 2.0, 0.5) if abs(scale - v) < 1e-6]
    return None if abs(scale - 1) < 1e-7 else near[0] if near else scale


def _near(case, mutation, start, bad, scale):
    first = case.run.steps - 1 - max(start - 1, 0) if start else case.run.steps - 1
    wrong = case.adjoint.backward(case.errors, mutation, start, scale, first, case.run.steps - 1 - bad, case.right.carried.get(first))
    return {case.x: case.match.layout.back(next(iter(wrong.inputs.values())), case.arguments.axis(case.x), case.found[case.x].shape)}


def _pieces_at(case, grads, bad):
    if bad is not None:
        values = case.pieces(case.x, grads[case.x])[case.run.steps - 1 - bad]
        size = np.abs(case.pieces(case.x, case.wanted[case.x])[case.run.steps - 1 - bad]).max()
        return values / size if size > 0 else values
    names = [n for n in case.found if n != case.x]
    return np.concatenate([grads[n].ravel() for n in names]) if names else np.zeros(1)


def _still_fits(fit, case, tolerance):
    if not _moves_errors(fit.mutation):
        return _sums_fit(case, case.predict(fit.mutation, fit.start, fit.scale)) or case.off <= 10 * case.noise
    return case.distance(case.predict(fit.mutation, fit.start, fit.scale)) <= tolerance


def _tell_apart(fits, match, arguments, functions, rng, trial, tolerance, failed):
    """Those of the hypotheses that also explain what backward returns on random arguments; all where none does."""
    steps = None if any(f.start for f in fits) or trial % 2 else max(4, min(arguments.steps, 7))
    other = randomised(arguments, rng, (1.0, 0.5, 1.5, 1.0)[trial], steps)
    try:
        with np.errstate(all="ignore"):
            case = _Case(match, other, functions, rng, bool(trial % 2), failed)
    except REFUSED:
        return fits
    kept = [f for f in fits if _still_fits(f, case, tolerance)]
    return kept or fits

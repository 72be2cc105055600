"""Check anyone's backward pass: two plain functions over dicts of arrays, compared per lag with the complex step.

An error is sent from the last output step only, so that the gradient at input step t-q is the flow over lag q alone; it is
compared relative to its own size, so that decay cannot hide a mistake. Knows nothing of the cell behind the functions.
"""

from dataclasses import replace

import numpy as np

from ..oracles import complex_step, is_complex_safe
from .intent import read_intent
from .result import Check, Mismatch
from .verification import Finding, Verification

__all__ = ["demand", "verify_gradient"]


SMALLEST = 1e-200
"""Below this a gradient is not compared: the complex step (2^-300) and products of a few more factors reach the end of float64."""
SATURATED, MOST_LOSS = 1e-6, 0.5
"""An output y within 1e-6 of +-1 leaves at most ten digits in 1 - y^2: its relative rounding is eps / (1 - |y|) at each step. An error that
this can explain is no failure but inconclusive, up to a half; a larger one is a failure all the same."""


def demand(verification):
    """The Verification if its verdict is "pass"; raises Mismatch with its text and `.verification` otherwise."""
    if verification.verdict == "pass":
        return verification
    failed = [c for c in verification.checks if c.verdict != "pass"]
    error = Mismatch(failed[0])
    error.args, error.verification = (str(verification),), verification
    raise error


def verify_gradient(forward, backward, params, inputs, state0=None, *, intent="full", time_axis=0, cells=(), seed=7):
    """Compare a backward pass with the complex step of its forward pass, entry by entry and, for inputs, lag by lag.

        forward(params, inputs, state0) -> outputs                        dicts of arrays; integer entries are not differentiated
        backward(params, inputs, state0, grad_outputs) -> grads           one flat dict, keyed like params, inputs and state0

    The scalar differentiated is sum_k <grad_outputs[k], outputs[k]>. `time_axis` is the axis of time of inputs and outputs: a number,
    a dict by entry, or None where there is none (then the check is by entry only and says so).

    Arguments of lower precision are promoted to float64, so that the formula is judged and not its rounding; a backward that
    answers in float32 all the same is judged as float32. Tolerance at lag q: (q + 1) sqrt(eps), since a slope computed from a
    rounded activation (1 - y^2) may lose half its digits at each step, plus 32 times the change of the tested gradient when every
    number given to it moves by one ulp (its conditioning). Where that exceeds 0.1 the verdict is "inconclusive". Where the flow is
    below the dtype's range, the gradient must be, too.
    Raises ValueError where the functions do not keep to the form above.
    """
    read_intent(intent)
    return _Session(forward, backward, params, inputs, state0 or {}, time_axis, seed).run()


class _Session:
    def __init__(self, forward, backward, params, inputs, state0, time_axis, seed):
        self.forward, self.backward = forward, backward
        self.groups = {"params": dict(params), "inputs": dict(inputs), "state0": dict(state0)}
        names = [n for group in self.groups.values() for n in group]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"entries of params, inputs and state0 need different names; twice: {', '.join(twice)}")
        self.notes = []
        dtypes = {a.dtype for _, _, a in self.entries()}
        if dtypes - {np.dtype(np.float64)}:
            self.notes.append(f"{', '.join(sorted(map(str, dtypes)))} arguments were promoted to float64")
            self.groups = self._with({})
        self.rng = np.random.default_rng(seed)
        self.axis = time_axis if isinstance(time_axis, dict) else dict.fromkeys([*names], time_axis)
        self.default_axis = None if isinstance(time_axis, dict) else time_axis

    def entries(self):
        """(group, name, array) of every entry to differentiate."""
        for group, arrays in self.groups.items():
            for name, array in arrays.items():
                if np.issubdtype(np.asarray(array).dtype, np.floating):
                    yield group, name, np.asarray(array)

    def outputs(self, groups):
        return {k: np.asarray(v) for k, v in self.forward(groups["params"], groups["inputs"], groups["state0"]).items()}

    def run(self):
        before = {g: {n: np.array(a) for n, a in arrays.items()} for g, arrays in self.groups.items()}
        self.y = self.outputs(self.groups)
        gaps = [1 - np.abs(y[np.abs(y) <= 1]) for y in self.y.values()]
        self.gap = max(min((float(g.min(initial=1.0)) for g in gaps), default=1.0), float(np.finfo(float).eps))
        again = self.outputs(self.groups)
        for name, y in self.y.items():
            if not np.array_equal(y, again[name], equal_nan=True):
                return self._stop("forward", "fail", f"forward is not deterministic: output {name} differs between two equal calls")
        self._not_mutated(before, "forward")
        reason = self._complex_unsafe()
        if reason:
            return self._stop("forward", "inconclusive", f"the complex step cannot judge this forward: {reason}")
        checks, detectable = [], {}
        for seed_name, grad_outputs, last in self._seeds():
            grads = self._backward(self.groups, grad_outputs)
            self._not_mutated(before, "backward")
            moved = [self._backward(self._ulp_moved(), grad_outputs) for _ in range(2)]
            for group, name, array in self.entries():
                check = Check(f"{name}, {seed_name}", "gradient", "pass", term=f"dE/d{name}")
                if name not in grads or grads[name] is None:
                    checks.append(replace(check, verdict="fail", words=f"dE/d{name}: backward returns no gradient for it"))
                    continue
                grad = np.asarray(grads[name])
                if grad.shape != array.shape:
                    checks.append(replace(check, verdict="fail", words=f"dE/d{name}: shape {grad.shape}, expected {array.shape}"))
                    continue
                noise = [np.asarray(m[name]) - grad for m in moved]
                by_lag = last is not None and group == "inputs" and self.axis.get(name) is not None
                found, caught = self._compare(check, group, name, grad, noise, grad_outputs, last if by_lag else None)
                checks.append(found)
                if by_lag or name not in detectable:
                    detectable[name] = caught
        return self._verification(checks, detectable)

    def _verification(self, checks, detectable):
        verdicts = {c.verdict for c in checks}
        verdict = "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"
        order = sorted(checks, key=lambda c: (c.verdict != "fail", c.first_bad_lag is None))
        findings = tuple(Finding(c.term.removeprefix("dE/d"), c.first_bad_lag, c.term, c.error, c.tolerance, c.words, c.verdict)
                         for c in order if c.verdict != "pass")
        return Verification(verdict, tuple(order), detectable, tuple(self.notes), findings)

    def _stop(self, rung, verdict, words):
        return Verification(verdict, (Check(rung, rung, verdict, words=words),), {},
                            findings=(Finding("", None, rung, None, None, words, verdict),))

    def _not_mutated(self, before, which):
        for group, arrays in self.groups.items():
            for name, array in arrays.items():
                if not np.array_equal(np.asarray(array), before[group][name], equal_nan=True):
                    raise ValueError(f"{which} changes its argument {group}[{name!r}] in place; copy it first")

    def _backward(self, groups, grad_outputs):
        grads = self.backward(groups["params"], groups["inputs"], groups["state0"], grad_outputs)
        if not isinstance(grads, dict):
            raise ValueError(f"backward returns {type(grads).__name__}, expected one dict keyed like params, inputs and state0")
        return {k: None if v is None else np.array(v) for k, v in grads.items()}

    def _complex_unsafe(self):
        flat = {n: a for _, n, a in self.entries()}
        direction = {n: self.rng.normal(size=a.shape) for n, a in flat.items()}
        return is_complex_safe(lambda values: self.outputs(self._with(values)), flat, direction)

    def _with(self, values):
        """The arguments with some entries replaced, all floats in double precision."""
        return {g: {n: values.get(n, np.asarray(a, np.float64) if np.issubdtype(np.asarray(a).dtype, np.floating) else a)
                    for n, a in arrays.items()} for g, arrays in self.groups.items()}

    def _ulp_moved(self):
        moved = {n: np.nextafter(a, a + self.rng.choice([-1, 1], a.shape).astype(a.dtype)) for _, n, a in self.entries()}
        return {g: {n: moved.get(n, a) for n, a in arrays.items()} for g, arrays in self.groups.items()}

    def _seeds(self):
        """(name, grad_outputs, last step): an error at the last output step alone, then errors everywhere."""
        random = {k: self.rng.normal(size=y.shape).astype(y.dtype) for k, y in self.y.items() if np.issubdtype(y.dtype, np.floating)}
        axes = {k: self.axis.get(k, self.default_axis) for k in random}
        steps = {y.shape[axes[k]] for k, y in random.items() if axes[k] is not None and y.ndim > axes[k]}
        steps |= {np.shape(a)[self.axis[n]] for n, a in self.groups["inputs"].items() if self.axis.get(n) is not None and np.ndim(a)}
        if len(steps) == 1 and None not in axes.values():
            last, final = steps.pop() - 1, {}
            for k, y in random.items():
                mask = np.arange(y.shape[axes[k]]) == last
                final[k] = y * mask.reshape([-1 if i == axes[k] % y.ndim else 1 for i in range(y.ndim)]).astype(y.dtype)
            yield "error at the last step", final, last
        else:
            self.notes.append("inputs and outputs share no time axis: no lag was looked at separately; give time_axis")
        yield "errors at all steps", random, None

    def _reference(self, name, direction, grad_outputs):
        """<dE/d name, direction> by complex step."""
        values = {n: a for _, n, a in self.entries()}
        moved = complex_step(lambda v: self.outputs(self._with({name: v})), values[name], direction)
        return sum(float(np.sum(np.asarray(grad_outputs[k], float) * moved[k])) for k in grad_outputs)

    def _compare(self, check, group, name, grad, noise, grad_outputs, last):
        info = np.finfo(grad.dtype if np.issubdtype(grad.dtype, np.floating) else float)
        tiny = max(float(info.tiny / info.eps), SMALLEST)
        axis = self.axis.get(name) if last is not None else None
        pieces = [(None, ...)] if axis is None else [
            (last - t, tuple(t if i == axis % grad.ndim else slice(None) for i in range(grad.ndim))) for t in range(last, -1, -1)]
        caught, worst, doubtful, below = {}, 0.0, [], []
        for lag, where in pieces:
            shape = grad[where].shape
            directions = _directions(shape, self.rng)
            got, expected, moved = [], [], []
            for v in directions:
                full = np.zeros(grad.shape)
                full[where] = v
                expected.append(self._reference(name, full, grad_outputs))
                got.append(float(np.sum(np.asarray(grad[where], float) * v)))
                moved.append(max(abs(float(np.sum(n[where] * v))) for n in noise))
            largest = max(map(abs, expected))
            size = largest and largest * float(np.sqrt(np.mean(np.square(np.divide(expected, largest)))))
            difference = float(np.max(np.abs(np.subtract(got, expected))))
            if size <= tiny:
                if not difference <= tiny:
                    return self._failed(check, name, lag, grad[where], got, expected, directions, np.inf, 0.0), caught
                below.append(lag)
                continue
            tolerance = float((1 + (lag or 0)) * np.sqrt(info.eps)) + 32 * max(moved) / size
            caught[lag] = tolerance
            error = difference / size
            loss = (1 + (lag or 0)) * info.eps / self.gap if self.gap < SATURATED else 0.0
            if not error <= max(tolerance, min(loss, MOST_LOSS)):
                return self._failed(check, name, lag, grad[where], got, expected, directions, error, tolerance), caught
            if error > tolerance or tolerance > 0.1:
                doubtful.append(lag)
            worst = max(worst, error)
        limit = max(caught.values(), default=None)
        if below:
            self.notes.append(f"dE/d{name}{_lags(below)}: the flow is zero or below {tiny:.0e}, too small to compare; so is the gradient")
        if doubtful:
            why = "outputs are saturated, so 1 - y^2 of a rounded y may be that far off" if loss else "it is ill-conditioned"
            words = f"dE/d{name}{_lags(doubtful)}: rounding alone can explain a relative error of {worst:.0e} ({why}); no verdict"
            return replace(check, verdict="inconclusive", error=worst, tolerance=limit, detectable=limit, words=words), caught
        return replace(check, error=worst, tolerance=limit, detectable=limit, term=""), caught

    def _failed(self, check, name, lag, grad, got, expected, directions, error, tolerance):
        where = f"dE/d{name}" if lag is None else f"dE/d{name} over lag {lag} (and maybe more)"
        hint = _hint(np.array(got), np.array(expected), grad)
        words = (f"{where}, {check.id.split(', ')[1]}: got {got[0]:.6g}, expected {expected[0]:.6g} along a random direction "
                 f"(relative error {error:.1e}, allowed {tolerance:.1e}){hint}")
        return replace(check, verdict="fail", first_bad_lag=lag, error=error, tolerance=tolerance, detectable=tolerance, words=words)


def _lags(lags):
    if lags[0] is None:
        return ""
    return f", lag {lags[0]}" if len(lags) == 1 else f", {len(lags)} lags from {lags[0]} to {lags[-1]}"


def _directions(shape, rng):
    """Up to three random directions in a slice of that shape."""
    n = int(np.prod(shape))
    return [rng.normal(size=shape) for _ in range(min(3, max(1, n)))]


def _hint(got, expected, grad):
    """What a plain relation between the numbers suggests, in words."""
    if not np.any(grad):
        return "; it is exactly zero"
    with np.errstate(all="ignore"):
        ratio = got / expected
    if np.all(np.isfinite(ratio)) and len(ratio) > 1 and np.ptp(ratio) < 1e-6 * np.abs(ratio).max():
        if abs(ratio[0] + 1) < 1e-6:
            return "; the sign is flipped"
        return f"; it is {ratio[0]:.4g} times the right value" if abs(ratio[0] - 1) > 1e-3 else ""
    return ""

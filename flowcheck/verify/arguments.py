"""The functions under test and their arguments: copied at every call, promoted to float64, lists over time stacked and unstacked.

An entry may be an array, a list over time, or a dict over time keyed by step; it comes back to the functions as it was given. Nothing
here differentiates.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .perturbed import perturbed

__all__ = ["REFUSED", "Arguments", "Functions"]

GROUPS = ("params", "inputs", "state0")
REFUSED = (ArithmeticError, AssertionError, IndexError, KeyError, TypeError, ValueError)
"""What someone's functions may raise at arguments other than theirs, shorter or random: that trial is not made."""


@dataclass(frozen=True)
class Arguments:
    """params, inputs and state0 as arrays, with the axis of time of each entry (None: it has none).

    kinds   {entry: list, tuple or dict}: entries given over time in pieces
    """

    groups: dict
    axes: dict
    kinds: dict = field(default_factory=dict)

    @classmethod
    def read(cls, params, inputs, state0, time_axis):
        """Stack what is given over time; promote floats to float64. Raises ValueError for a name that stands in two groups."""
        groups, kinds, axes = {}, {}, {}
        names = [n for group in (params, inputs, state0) for n in group]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"entries of params, inputs and state0 need different names; twice: {', '.join(twice)}")
        for group, given in zip(GROUPS, (params, inputs, state0), strict=True):
            groups[group] = {}
            for name, value in given.items():
                array = _stacked(value)
                if group == "inputs" and _over_time(value):
                    kinds[name], axes[name] = type(value), 0
                elif isinstance(time_axis, dict):
                    axes[name] = time_axis.get(name)
                else:
                    axes[name] = time_axis if group == "inputs" else None
                groups[group][name] = _double(array)
        return cls(groups, axes, kinds)

    def entries(self):
        """(group, name, array) of every entry to differentiate: the real ones."""
        for group, arrays in self.groups.items():
            for name, array in arrays.items():
                if np.issubdtype(array.dtype, np.floating) and array.size:
                    yield group, name, array

    def values(self):
        return {name: array for _, name, array in self.entries()}

    def with_values(self, values):
        """The same arguments with some entries replaced."""
        return replace(self, groups={g: {n: values.get(n, a) for n, a in arrays.items()} for g, arrays in self.groups.items()})

    def axis(self, name):
        """Axis of time of an input, as a non-negative number; None without one."""
        axis, array = self.axes.get(name), self.groups["inputs"].get(name)
        if array is None or axis is None or not -array.ndim <= axis < array.ndim:
            return None
        return axis % array.ndim

    @property
    def steps(self):
        """Number of time steps of the inputs; None where they have no axis of time or disagree."""
        found = {a.shape[self.axis(n)] for n, a in self.groups["inputs"].items() if self.axis(n) is not None}
        return found.pop() if len(found) == 1 else None

    def window(self, start, stop):
        """The arguments with the inputs of the steps start ... stop-1 only."""
        return self.with_values({
            n: np.take(a, np.arange(start, stop), axis=self.axis(n))
            for n, a in self.groups["inputs"].items() if self.axis(n) is not None
        })

    def at_step(self, name, t):
        """Index of one step of a time-indexed entry."""
        return tuple(t if i == self.axis(name) else slice(None) for i in range(self.groups["inputs"][name].ndim))

    def copies(self, copy=np.array):
        """[params, inputs, state0] to hand to a function: fresh copies, in the form in which they were given."""
        return [{n: _unstacked(copy(a), self.kinds.get(n)) for n, a in self.groups[g].items()} for g in GROUPS]

    def moved(self, signs, step):
        """Every real number a at a (1 + step s), s its sign in {entry: signs}."""
        return self.with_values({n: a * (1 + step * signs[n]) for n, a in self.values().items()})


class Functions:
    """forward and backward on Arguments: dicts of arrays in and out. `changed` collects the arguments that they change in place."""

    def __init__(self, forward, backward, time_axis):
        self.forward, self.backward, self.time_axis = forward, backward, time_axis
        self.changed, self.output_kinds = {}, {}

    def outputs(self, arguments):
        given = arguments.copies()
        found = self.forward(*given)
        if not isinstance(found, dict):
            raise ValueError(f"forward returns {type(found).__name__}, expected one dict of outputs")
        self._note_changes("forward", arguments, given)
        self.output_kinds = {k: type(v) if _over_time(v) else None for k, v in found.items()}
        return {k: _stacked(v) for k, v in found.items()}

    def output_axis(self, name, y):
        """Axis of time of an output; None without one."""
        if self.output_kinds.get(name):
            return 0
        axis = self.time_axis.get(name) if isinstance(self.time_axis, dict) else self.time_axis
        return None if axis is None or not -y.ndim <= axis < y.ndim else axis % y.ndim

    def grads(self, arguments, grad_outputs):
        """{entry: gradient or None}. Raises ValueError where backward returns no dict."""
        given = arguments.copies()
        errors = {k: np.array(v) for k, v in grad_outputs.items()}
        found = self.backward(*given, {k: _unstacked(v, self.output_kinds.get(k)) for k, v in errors.items()})
        if not isinstance(found, dict):
            raise ValueError(f"backward returns {type(found).__name__}, expected one dict keyed like params, inputs and state0")
        self._note_changes("backward", arguments, given)
        self._note("backward", "grad_outputs", grad_outputs, errors)
        return {k: None if v is None else _stacked(v) for k, v in found.items()}

    def perturbed_grads(self, arguments, grad_outputs, noise):
        """As `grads`, in perturbed arithmetic: ({entry: gradient}, whether results inside backward were perturbed, not its arguments only).

        A backward that is not NumPy brings `backward.perturbed(params, inputs, state0, grad_outputs, moved)`, with moved(array) its
        perturbation of every result; one that takes no arrays of another class gets perturbed arguments.
        """
        run, errors = getattr(self.backward, "perturbed", None), {k: np.array(v) for k, v in grad_outputs.items()}
        errors = {k: _unstacked(v, self.output_kinds.get(k)) for k, v in errors.items()}
        given = arguments.copies(noise.moved if run else perturbed)
        before = noise.count
        try:
            found = self.backward(*given, errors) if run is None else run(*given, errors, noise.moved)
            inside = noise.count > before
        except REFUSED:
            found, inside = self.backward(*arguments.copies(noise.moved), errors), False
        return {k: None if v is None else _stacked(v) for k, v in found.items()}, inside

    def _note_changes(self, which, arguments, given):
        for group, after in zip(GROUPS, given, strict=True):
            self._note(which, group, arguments.groups[group], after)

    def _note(self, which, group, before, after):
        for name, value in before.items():
            if name not in after or not _same(after[name], np.asarray(value)):
                self.changed.setdefault((which, group, name), None)


def _same(after, before):
    """Whether an entry still holds the numbers that it held; looked at as bytes first, which is quick."""
    after = after if type(after) is np.ndarray else _stacked(after)
    if after.dtype == before.dtype and after.shape == before.shape and after.tobytes() == before.tobytes():
        return True
    return np.array_equal(after, before, equal_nan=np.issubdtype(before.dtype, np.inexact))


def _over_time(value):
    """Whether an entry is given in pieces over time: a list or tuple of arrays, or a dict keyed by step."""
    if isinstance(value, dict):
        return sorted(value) == list(range(len(value)))
    return isinstance(value, list | tuple) and len(value) > 0 and all(np.ndim(v) > 0 for v in value)


def _stacked(value):
    if isinstance(value, dict):
        return np.stack([np.asarray(value[t]) for t in sorted(value)])
    return np.array(value)


def _unstacked(array, kind):
    if kind is None:
        return array
    return dict(enumerate(array)) if kind is dict else kind(array)


def _double(array):
    return np.asarray(array, np.float64) if np.issubdtype(array.dtype, np.floating) else array

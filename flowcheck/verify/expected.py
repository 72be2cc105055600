"""The gradient that a backward pass should return, along random directions, under what it was declared to compute.

Under a truncation the reference is a frozen-copy surrogate: an error may go back to step s only, so the outputs are differentiated with
everything before s held at its values.
"""

import numpy as np

from .arguments import REFUSED
from .seeds import confined

__all__ = ["Expected", "find_states"]


class Expected:
    """Directional derivatives of sum_k <grad_outputs[k], outputs[k]>, for several seeds at once.

    states      {state0 entry: output that holds it at every step}; needed for the weights of a gradient truncated in time
    surrogate   a cell that reproduces the forward pass; differentiated in its stead where connections are cut
    """

    def __init__(self, functions, tangents, intent, states=None, surrogate=None):
        self.functions, self.tangents, self.intent, self.states, self.surrogate = functions, tangents, intent, states, surrogate

    def full(self, arguments, name, direction, seeds):
        """[(derivative, error estimate)] of the full gradient, one per seed."""
        moved, errors = self.tangents.along(arguments, name, direction)
        return [_sum(seed.grad_outputs, moved, errors) for seed in seeds]

    def from_step(self, arguments, start):
        """The arguments of the steps from `start` on, in the state reached there; None where the states are not known."""
        if start == 0:
            return arguments
        if self.states is not None:
            return _from_state(self.functions, arguments, self.functions.outputs(arguments), self.states, start)
        return None if self.surrogate is None else self.surrogate.from_step(arguments, start)

    def declared(self, arguments, name, t, direction, seeds):
        """As `full`, with what the intent leaves out left out; None for a seed that cannot be judged. t: step of a time-indexed entry."""
        if self.intent.kind != "truncated":
            return self.full(arguments, name, direction, seeds)
        steps, cache = arguments.steps, {}
        return [self._truncated(arguments, name, t, direction, seed, steps, cache) for seed in seeds]

    def _truncated(self, arguments, name, t, direction, seed, steps, cache):
        starts = np.array([self.intent.start(s) for s in range(steps)])
        total, error = 0.0, 0.0
        for start in sorted(set(starts.tolist())):
            kept = confined(seed, self.functions, starts == start)
            if not any(np.any(v) for v in kept.values()):
                continue
            if start > 0 and (name in arguments.groups["state0"] or (t is not None and t < start)):
                continue
            if start not in cache:
                cache[start] = self._window(arguments, name, t, direction, int(start))
            if cache[start] is None:
                return None
            value, width = _sum(kept, *cache[start])
            total, error = total + value, error + width
        return total, error

    def _window(self, arguments, name, t, direction, start):
        """Tangents with the state at `start` frozen, full length (zero before start); None where the state is not known there."""
        if self.surrogate is not None:
            return self.surrogate.along(arguments, name, direction, start, self.intent.cut), {}
        if self.intent.cut:
            return None
        if start == 0 or t is not None:
            return self.tangents.along(arguments, name, direction)
        if self.states is None:
            return None
        y = self.functions.outputs(arguments)
        late = _from_state(self.functions, arguments, y, self.states, start)
        found = self.tangents.along(late, name, direction)
        return tuple({k: self._padded(k, v, start, arguments.steps) for k, v in part.items()} for part in found)

    def _padded(self, name, v, start, steps):
        axis = self.functions.output_axis(name, v)
        if axis is None or v.shape[axis] != steps - start:
            return v
        return np.concatenate([np.zeros((*v.shape[:axis], start, *v.shape[axis + 1:])), v], axis=axis)


def _sum(errors, moved, widths):
    """(<errors, moved>, error estimate)."""
    value = sum(float(np.sum(errors[k] * moved[k])) for k in errors if k in moved)
    return value, sum(float(np.sum(np.abs(errors[k]) * widths[k])) for k in errors if k in widths)


def _from_state(functions, arguments, y, states, start):
    """The arguments of the steps from `start` on, starting in the state that the outputs hold at start - 1."""
    frozen = {old: np.take(y[out], start - 1, axis=functions.output_axis(out, y[out])) for old, out in states.items()}
    return arguments.window(start, arguments.steps).with_values(frozen)


def find_states(functions, arguments, y):
    """{state0 entry: output} such that a run from that output's value at step s - 1 continues the sequence; None where there is none.

    Proved by running on from step 1, not guessed from names.
    """
    from itertools import product

    steps, state0 = arguments.steps, arguments.groups["state0"]
    if not state0 or not steps or steps < 2:
        return None
    choices = []
    for array in state0.values():
        fits = []
        for k, v in y.items():
            axis = functions.output_axis(k, v)
            if axis is not None and v.shape[axis] == steps and np.take(v, 0, axis=axis).shape == array.shape:
                fits.append(k)
        choices.append(fits)
    for pick in product(*choices):
        states = dict(zip(state0, pick, strict=True))
        try:
            late = functions.outputs(_from_state(functions, arguments, y, states, 1))
        except REFUSED:
            continue
        if all(_continues(functions, k, v, late.get(k), steps) for k, v in y.items()):
            return states
    return None


def _continues(functions, name, whole, late, steps):
    axis = functions.output_axis(name, whole)
    if late is None or axis is None or whole.shape[axis] != steps:
        return late is not None
    rest = np.take(whole, np.arange(1, steps), axis=axis)
    return late.shape == rest.shape and np.allclose(late, rest, rtol=1e-9, atol=1e-12)

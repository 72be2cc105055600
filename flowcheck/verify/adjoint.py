"""The backward pass of a cell with one mistake made on purpose, from a given lag on: what a hypothesis predicts.

Written for hypotheses, not speed: plain reverse order of the equations, one step after the other. Shares no code with `step`.
"""

from dataclasses import dataclass

import numpy as np
import sympy

from .. import notation
from ..equations import Net
from ..gradients import Gradients
from .mutations import EARLIER, LATER, WRAP

__all__ = ["Adjoint"]


@dataclass
class _Backward:
    """Errors at the nets, inputs and initial states; `carried[t]` is what step t receives from the steps after it.

    units   {unit: errors (time, batch, units)}, where they were asked for
    """

    nets: dict
    inputs: dict
    carried: dict
    state0: dict
    units: dict


class Adjoint:
    """Backward passes along one trajectory, right or with a Mutation; expressions are evaluated once for all steps."""

    def __init__(self, trajectory):
        self.run, self.kernel = trajectory, trajectory.kernel
        self.cell, self.steps = trajectory.kernel.cell, trajectory.steps
        self.maps = self.kernel.fixed_maps(self.kernel.lengths(trajectory.params))
        self.values, self.right = {}, trajectory.partials
        self.names = {n.out.name: {e.source: p for p, e in self.cell.parameters.items() if e.net == n.out.name} for n in self.cell.nets}

    def backward(self, errors, mutation=None, start=0, scale=1.0, first=None, last=0, carried=None, units=False):
        """Errors sent back from step `first` (the last one by default) to step `last`; the mistake is made at lags >= `start`."""
        first = self.steps - 1 if first is None else first
        errors = self._entering(errors, mutation, scale)
        nets = {n.out.name: np.zeros_like(self.run[n.out.name]) for n in self.cell.nets}
        inputs = {s.name: np.zeros_like(self.run.inputs[s.name]) for s in self.cell.inputs}
        at_units = {u.out.name: np.zeros_like(self.run[u.out.name]) for u in self.cell.units} if units else {}
        carried, history = dict(carried or {}), {}
        changed = self._changed(mutation, scale)
        for t in range(first, last - 1, -1):
            history[t] = dict(carried)
            wrong = mutation if mutation is not None and self.steps - 1 - t >= start else None
            adjoint, past = {}, {}
            for old, error in carried.items():
                self._receive(t, old, error, wrong, adjoint, past, scale)
            for name, array in errors.items():
                adjoint[name] = adjoint[name] + array[t] if name in adjoint else array[t]
            self._step(t, adjoint, past, wrong, changed, scale)
            for name, array in (nets | inputs | at_units).items():
                if name in adjoint:
                    array[t] = adjoint[name]
            carried = {old: adjoint[old] for old in self.kernel.states if old in adjoint}
            for old, change in (wrong.carry if wrong else ()):
                if old in carried and isinstance(change, str) and change in ("dropped", "scaled"):
                    carried[old] = carried[old] * (0.0 if change == "dropped" else scale)
        state0 = {old: carried.get(old, np.zeros_like(self.run.state0[old])) for old in self.kernel.states}
        return _Backward(nets, inputs, history, state0, at_units)

    def gradients(self, backward, mutation=None, start=0, scale=1.0):
        """gradients.Gradients from the errors at the nets, summed as the mutation says."""
        kinds, found = {n.out.name: n.kind for n in self.cell.nets}, {}
        rule, target, other = mutation.weights if mutation is not None and mutation.weights else ("", (), "")
        for name, edge in self.cell.parameters.items():
            hit = rule if name in target else ""
            found[name] = self._weight(backward.nets[edge.net], edge, kinds[edge.net], hit, start, scale)
            if hit == "other":
                edge = self.cell.parameters[other]
                late = self._steps_from(start)
                mine = self.cell.parameters[name]
                found[name] = self._weight(backward.nets[edge.net] * late, edge, kinds[edge.net], "", 0, 1.0) + \
                    self._weight(backward.nets[mine.net] * (1 - late), mine, kinds[mine.net], "", 0, 1.0)
        return Gradients(found, backward.inputs, backward.state0, backward.nets)

    def _steps_from(self, start):
        """1 at the steps at lags >= start, 0 at those of smaller lag; shape (time, 1, 1)."""
        return (np.arange(self.steps) <= self.steps - 1 - start).astype(float)[:, None, None]

    def _weight(self, error, edge, kind, rule, start, scale):
        late, source = self._steps_from(start), None if edge.source == "1" else self.run[edge.source]
        if rule == "scaled":
            error = error * (1 + (scale - 1) * late)
        elif rule in ("last", "first", "not last", "not first"):
            at = np.zeros((self.steps, 1, 1))
            at[-1 if "last" in rule else 0] = 1
            keep = 1 - at if rule.startswith("not") else at
            error = error * (keep if rule.startswith("not") else keep * late + (1 - late))
        elif rule == "mean over time":
            error = error / self.steps
        elif rule == "mean over batch":
            error = error / error.shape[1]
        elif rule == "last source at the first step" and edge.source in self.kernel.states:
            source = np.concatenate([self.run[self.kernel.states[edge.source]][-1:], source[1:]])
        elif rule.endswith(("source", "source wrapping")) and source is not None:
            moved = _shifted(source, 1 if rule.startswith("later") else -1, "wrapping" in rule)
            source = moved * late + source * (1 - late)
        if source is None:
            return error.sum(axis=(0, 1))
        if kind == "diagonal":
            return (error * source).sum(axis=(0, 1))
        found = np.einsum("tbi,tbj->ij", error, source)
        if rule == "transposed" and found.shape[0] == found.shape[1]:
            wrong = np.einsum("tbi,tbj->ij", error * late, source)
            found = found - wrong + wrong.T
        return found

    def _entering(self, errors, mutation, scale):
        rule = mutation.errors if mutation is not None else ""
        if rule == "scaled":
            return {k: scale * v for k, v in errors.items()}
        if rule == "last":
            at = np.zeros((self.steps, 1, 1))
            at[-1] = 1
            return {k: v * at for k, v in errors.items()}
        return {k: np.roll(v, 1 if rule == "late" else -1, axis=0) for k, v in errors.items()} if rule else errors

    def _changed(self, mutation, scale):
        if mutation is None:
            return {}
        found = {}
        for key, expression in mutation.partials:
            value = None if expression is None else self.evaluate(expression)
            found[key] = value * scale if mutation.free_scale else value
        return found

    def _receive(self, t, old, error, wrong, adjoint, past, scale):
        """Hand the error carried from step t+1 to the new state it belongs to, or where the mutation puts it."""
        new = self.kernel.states[old]
        for name, change in (wrong.carry if wrong else ()):
            if name == old and isinstance(change, sympy.Basic):
                error = error * _at(self.evaluate(change), t)
            elif name == old and isinstance(change, str) and change.startswith("past "):
                past[change.removeprefix("past ")] = error
                return
        adjoint[new] = adjoint[new] + error if new in adjoint else error

    def _step(self, t, adjoint, past, wrong, changed, scale):
        def add(name, error):
            adjoint[name] = adjoint[name] + error if name in adjoint else error

        edges, sent = dict(wrong.edges) if wrong else {}, set()
        for name, error in past.items():
            add(name, error)
        for equation in reversed(self.cell.equations):
            name = equation.out.name
            if wrong and wrong.swap and name == max(wrong.swap, key=self._position):
                a, b = wrong.swap
                sent = self._send_between(t, adjoint, add, wrong, changed)
                zero = np.zeros(self.run[a].shape[1:])
                adjoint[a], adjoint[b] = adjoint.get(b, zero), adjoint.get(a, zero)
            if name not in adjoint or name in sent:
                continue
            error = adjoint[name]
            if not isinstance(equation, Net):
                self._unit(t, name, error, add, wrong, changed)
                continue
            for s in equation.sources:
                self._edge(equation, s.name, error, edges.get((name, s.name)), add, scale)

    def _position(self, name):
        return [e.out.name for e in self.cell.equations].index(name)

    def _send_between(self, t, adjoint, add, wrong, changed):
        """Before the errors of two nets are swapped, the units that stand between them send theirs; their names."""
        sent = set()
        low, high = sorted(self._position(n) for n in wrong.swap)
        for equation in reversed(self.cell.equations[low:high]):
            if not isinstance(equation, Net) and equation.out.name in adjoint:
                self._unit(t, equation.out.name, adjoint[equation.out.name], add, wrong, changed)
                sent.add(equation.out.name)
        return sent

    def _unit(self, t, name, error, add, wrong, changed):
        for arg in self.kernel.units[name].args:
            key = (name, arg)
            slope = changed[key] if wrong and key in changed else self.right.get(key)
            if slope is not None:
                add(arg, error * _at(slope, t))

    def _edge(self, net, source, error, change, add, scale):
        if change == "dropped":
            return
        factor = scale if change == "scaled" else 1.0
        if net.fixed:
            fixed = self.maps[net.out.name]
            sent = fixed.total(error) if net.kind == "shared" else fixed.repeat(error)
            add(source, factor * (sent * sent.shape[-1] / error.shape[-1] if change == "mean" else sent))
            return
        w = self.run.params[self.names[net.out.name][source]]
        add(source, factor * (error * w if net.kind == "diagonal" else error @ (w.T if change == "transposed" else w)))

    def evaluate(self, expression):
        """Values (time, batch, units) of an expression in the cell's vectors, which may be marked as one step late or early."""
        if expression not in self.values:
            self.values[expression] = self._value(sympy.sympify(expression))
        return self.values[expression]

    def _value(self, node):
        if node.is_Symbol:
            return self._vector(node.name)
        if node.is_number:
            return float(node)
        parts = [self._value(a) for a in node.args]
        if node.is_Add:
            return sum(parts[1:], parts[0])
        if node.is_Mul:
            return np.prod(np.broadcast_arrays(*parts), axis=0) if len(parts) > 2 else parts[0] * parts[1]
        if node.is_Pow:
            with np.errstate(all="ignore"):
                return parts[0] ** (int(parts[1]) if float(parts[1]).is_integer() else parts[1])
        name = type(node).__name__
        routine = notation.ROUTINES.get(name)
        return routine(*parts) if routine is not None else getattr(np, name.lower())(*parts)

    def _vector(self, name):
        wrap = name.endswith(WRAP)
        base = name.removesuffix(WRAP)
        for mark, steps in ((LATER, 1), (EARLIER, -1)):
            if base.endswith(mark):
                return _shifted(self.run[base.removesuffix(mark)], steps, wrap)
        return self.run[name]


def _at(values, t):
    return values if np.ndim(values) < 3 else values[t]


def _shifted(array, steps, wrap):
    """The array one step later (1) or earlier (-1) in time; at the end it is held, or wraps around."""
    moved = np.roll(array, -steps, axis=0)
    if not wrap and len(array):
        moved[-1 if steps > 0 else 0] = array[-1 if steps > 0 else 0]
    return moved

"""Compile a cell to NumPy: the forward pass and the partial derivatives of every unit along it.

Everything follows from the cell's list of equations; no cell is named here. Pointwise formulas are compiled
by SymPy, nets are matrix products. Arrays are time-first: x is (time, batch, inputs), a vector of the cell
(time, batch, units). The linearised step is in `step`; chains over time belong to `gradients` and `flow`.
"""

from functools import cache, cached_property

import numpy as np
import sympy

from . import notation, symbolic
from .equations import Net

__all__ = ["Kernel", "ShapeError", "Trajectory", "compile_cell"]


class ShapeError(ValueError):
    """An array has the wrong shape: names it, with the shape expected and the shape given."""


@cache
def compile_cell(cell, namespace="numpy"):
    """The Kernel of a cell, compiled once. `namespace` "mpmath" computes with mpmath numbers in object arrays."""
    return Kernel(cell, namespace)


class _CompiledUnit:
    """One pointwise formula and its partial derivatives as array functions."""

    def __init__(self, unit, routines):
        self.out, self.args = unit.out.name, [s.name for s in unit.reads]
        derivatives = symbolic.partials(unit)
        self.constant = {s.name: float(d) for s, d in derivatives.items() if d.is_number}
        varying = {s.name: d for s, d in derivatives.items() if s.name not in self.constant}
        self.varying = list(varying)
        self.value = sympy.lambdify(unit.reads, unit.formula, modules=routines, cse=True)
        self.slopes = sympy.lambdify(unit.reads, list(varying.values()), modules=routines, cse=True)


class Kernel:
    """The compiled cell, without weights.

    Weights come as a dict with the keys of `cell.parameters`, [to, from]; lengths follow from their shapes.
    """

    def __init__(self, cell, namespace="numpy"):
        self.cell, self.namespace = cell, namespace
        routines = notation.routines(namespace)
        self.units = {u.out.name: _CompiledUnit(u, routines) for u in cell.units}
        self.states = {old.name: new.name for old, new in cell.state.items()}
        self.parameters = cell.parameters
        self.weights = {}  # net -> {source: name of its weights, "1": name of its bias}
        for name, edge in self.parameters.items():
            self.weights.setdefault(edge.net, {})[edge.source] = name

    def lengths(self, params):
        """{"inputs": m, "units": n, "blocks": n/S} read from the weights' shapes. Raises ShapeError where they disagree."""
        missing = self.parameters.keys() - params.keys()
        if missing or params.keys() - self.parameters.keys():
            extra = ", ".join(sorted(params.keys() - self.parameters.keys())) or "none"
            raise ShapeError(f"{self.cell.name}: weights missing: {', '.join(sorted(missing)) or 'none'}; unknown: {extra}; "
                             f"expected {', '.join(self.parameters)}")
        found, sizes = {}, self.cell.sizes
        for name, edge in self.parameters.items():
            shape, net = np.shape(params[name]), next(n for n in self.cell.nets if n.out.name == edge.net)
            axes = [sizes[edge.net]] if edge.source == "1" or net.kind == "diagonal" else [sizes[edge.net], sizes[edge.source]]
            if len(shape) != len(axes):
                raise ShapeError(f"{self.cell.name}: {name} has shape {shape}, expected {len(axes)} axes ({', '.join(axes)})")
            for axis, length in zip(axes, shape, strict=True):
                if found.setdefault(axis, (length, name))[0] != length:
                    raise ShapeError(f"{self.cell.name}: {name} has shape {shape}, but {axis} is "
                                     f"{found[axis][0]} in {found[axis][1]}")
        lengths = {axis: length for axis, (length, _) in found.items()}
        lengths.setdefault("blocks", lengths["units"])
        if lengths["units"] % lengths["blocks"]:
            raise ShapeError(f"{self.cell.name}: {lengths['units']} units do not divide into {lengths['blocks']} blocks")
        return lengths

    def random_params(self, units, inputs, rng, block_size=1):
        """Fresh weights: U(-1/sqrt n, 1/sqrt n), biases around the initial bias that the cell declares."""
        lengths = {"units": units, "inputs": inputs, "blocks": units // block_size}
        initial = {n.out.name: n.bias for n in self.cell.nets}
        kind = {n.out.name: n.kind for n in self.cell.nets}
        k, params = 1 / np.sqrt(units), {}
        for name, edge in self.parameters.items():
            to = lengths[self.cell.sizes[edge.net]]
            one_axis = edge.source == "1" or kind[edge.net] == "diagonal"
            shape = (to,) if one_axis else (to, lengths[self.cell.sizes[edge.source]])
            params[name] = rng.uniform(-k, k, shape) + (initial[edge.net] if edge.source == "1" else 0.0)
        self.lengths(params)
        return params

    def forward(self, params, x, state0=None, *, cut=frozenset(), frozen=None, hold=None, add=None):
        """Run the cell over x, shape (time, batch, inputs), from state0 {previous state: (batch, units)}, zero by default.

        With `cut` edges and a `frozen` Trajectory over the same x, the cut connections read the frozen values
        instead of the running ones: a derivative of this run is the truncated derivative.
        Two ways to intervene: `hold` {vector: (mask, value)}, both (batch, units), keeps masked entries at the value at every step;
        `add` {vector: array (time, batch, units)} adds to a vector where it is computed. Complex numbers work (complex step).
        Returns a Trajectory; raises ShapeError for arrays that do not fit, ValueError for a cut without what it reads.
        """
        if cut and frozen is None:
            raise ValueError(f"{self.cell.name}: a forward run with cut connections needs the frozen trajectory that they read")
        lengths, sizes = self.lengths(params), self.cell.sizes
        inputs, state0, add = self._inputs(x, lengths), state0 or {}, add or {}
        steps, batch = next(iter(inputs.values())).shape[:2]
        given = (inputs, params, state0, add)
        dtype = np.result_type(*(np.asarray(array) for arrays in given for array in arrays.values()))
        state = self._start(state0, batch, lengths, dtype)
        values = {e.out.name: np.empty((steps, batch, lengths[sizes[e.out.name]]), dtype) for e in self.cell.equations}
        start = dict(state)
        run = _Forward(self, params, inputs, cut, frozen, hold or {}, add, lengths)
        for t in range(steps):
            now = dict(state)
            run.step(t, now)
            for name, array in values.items():
                array[t] = now[name]
            state = {old: values[new][t] for old, new in self.states.items()}
        return Trajectory(self, params, inputs, values, start)

    def _inputs(self, x, lengths):
        """{input: array (time, batch, inputs)}, checked."""
        names = [s.name for s in self.cell.inputs]
        inputs = {k: np.asarray(v) for k, v in (x if isinstance(x, dict) else {names[0]: x}).items()}
        if sorted(inputs) != sorted(names):
            raise ShapeError(f"{self.cell.name}: inputs are {', '.join(inputs)}, expected {', '.join(names)}; give a dict of arrays")
        first = inputs[names[0]]
        for name, array in inputs.items():
            if array.ndim != 3 or array.shape[-1] != lengths["inputs"] or array.shape != first.shape:
                raise ShapeError(f"{self.cell.name}: {name} has shape {array.shape}, expected (time, batch, {lengths['inputs']})")
        return inputs

    def _start(self, state0, batch, lengths, dtype):
        """{previous state: (batch, units)} at the start, zero where nothing is given."""
        unknown = [name for name in state0 if name not in self.states]
        if unknown:
            raise ShapeError(f"{self.cell.name}: state0 has no {unknown[0]!r}; previous states are {', '.join(self.states)}")
        state = {}
        for old in self.states:
            shape = (batch, lengths[self.cell.sizes[old]])
            given = np.asarray(state0.get(old, 0.0), dtype)
            if given.shape not in ((), shape, (1, shape[1]), shape[1:]):
                raise ShapeError(f"{self.cell.name}: state0[{old!r}] has shape {given.shape}, expected {shape}")
            state[old] = np.broadcast_to(given, shape)
        return state


class _Forward:
    """Nets grouped by source, so that one product serves every net that reads the same previous state."""

    def __init__(self, kernel, params, inputs, cut, frozen, hold, add, lengths):
        self.kernel, self.params, self.cut, self.frozen, self.hold, self.add = kernel, params, cut, frozen, hold, add
        cell, self.block_size = kernel.cell, lengths["units"] // lengths["blocks"]
        self.fed = {}
        for net in cell.nets:  # inputs and biases of all steps at once
            names = kernel.weights.get(net.out.name, {})
            total = params[names["1"]] if "1" in names else 0.0
            for s in net.sources:
                if s.name in inputs and s.name in names:
                    w = params[names[s.name]]
                    total = total + (inputs[s.name] * w if net.kind == "diagonal" else inputs[s.name] @ w.T)
            self.fed[net.out.name] = total
        self.stacks = {}
        for old in kernel.states:
            nets = [n for n in cell.nets if n.kind == "dense" and any(s.name == old for s in n.sources)
                    and not any(e.net == n.out.name and e.source == old for e in cut)]
            if nets:
                stacked = np.concatenate([params[kernel.weights[n.out.name][old]] for n in nets])
                ends = np.cumsum([len(params[kernel.weights[n.out.name][old]]) for n in nets])
                self.stacks[old] = stacked.T, {n.out.name: slice(e - len(params[kernel.weights[n.out.name][old]]), e)
                                               for n, e in zip(nets, ends, strict=True)}

    def step(self, t, now):
        kernel, products = self.kernel, {old: now[old] @ stacked for old, (stacked, _) in self.stacks.items()}
        for equation in kernel.cell.equations:
            name = equation.out.name
            if not isinstance(equation, Net):
                unit = kernel.units[name]
                now[name] = unit.value(*(now[a] for a in unit.args))
            elif equation.kind == "shared":
                now[name] = np.repeat(now[equation.sources[0].name], self.block_size, axis=-1)
            else:
                fed = self.fed[name]
                total = fed[t] if np.ndim(fed) == 3 else fed
                for s in equation.sources:
                    if s.name in self.stacks and name in self.stacks[s.name][1]:
                        total = total + products[s.name][..., self.stacks[s.name][1][name]]
                    elif s.name in now:
                        total = total + self._edge(equation, s.name, t, now)
                now[name] = total
            if name in self.add:
                now[name] = now[name] + self.add[name][t]
            if name in self.hold:
                mask, value = self.hold[name]
                now[name] = np.where(mask, value, now[name])

    def _edge(self, net, source, t, now):
        w = self.params[self.kernel.weights[net.out.name][source]]
        is_cut = any(e.net == net.out.name and e.source == source for e in self.cut)
        value = self.frozen.at(source, t) if is_cut and self.frozen is not None else now[source]
        return value * w if net.kind == "diagonal" else value @ w.T


class Trajectory:
    """Every vector of a cell at every step of one run: `trajectory["net_c"]` is (time, batch, units).

    A previous state ("s_prev") is its new value shifted by one step, state0 first.
    """

    def __init__(self, kernel, params, inputs, values, state0):
        self.kernel, self.params, self.inputs, self.values, self.state0 = kernel, params, inputs, values, state0
        self.steps, self.batch = next(iter(values.values())).shape[:2]

    def __getitem__(self, name):
        if name in self.values:
            return self.values[name]
        if name in self.inputs:
            return self.inputs[name]
        new = self.values[self.kernel.states[name]]
        return np.concatenate([self.state0[name][None], new[:-1]])

    def at(self, name, t):
        """One vector at one step, shape (batch, units)."""
        if name in self.kernel.states:
            return self.values[self.kernel.states[name]][t - 1] if t else self.state0[name]
        return self[name][t]

    def window(self, start, stop):
        """The trajectory of the steps start ... stop-1."""
        cut = lambda arrays: {k: v[start:stop] for k, v in arrays.items()}  # noqa: E731
        state0 = {old: self.at(old, start) for old in self.kernel.states}
        return Trajectory(self.kernel, self.params, cut(self.inputs), cut(self.values), state0)

    def sequence(self, b):
        """The trajectory of one sequence of the batch."""
        pick = lambda arrays, axis: {k: np.take(v, [b], axis=axis) for k, v in arrays.items()}  # noqa: E731
        return Trajectory(self.kernel, self.params, pick(self.inputs, 1), pick(self.values, 1), pick(self.state0, 0))

    @cached_property
    def partials(self):
        """{(out, argument): d out_i / d argument_i}, arrays (time, batch, units), constants as floats."""
        found = {}
        for name, unit in self.kernel.units.items():
            found |= {(name, arg): value for arg, value in unit.constant.items()}
            slopes = unit.slopes(*(self[a] for a in unit.args)) if unit.varying else []
            for arg, slope in zip(unit.varying, slopes, strict=True):
                found[name, arg] = np.broadcast_to(slope, self.values[name].shape)
        return found

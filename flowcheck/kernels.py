"""Compile a cell to NumPy: the forward pass and the partial derivatives of every unit along it.

Everything follows from the cell's list of equations; no cell is named here. Pointwise formulas are compiled
by SymPy, nets are matrix products. Arrays are time-first: x is (time, batch, inputs), a vector of the cell
(time, batch, units). The linearised step is in `step`; chains over time belong to `gradients` and `flow`.
"""

import math
import operator
from functools import cache, cached_property, reduce

import numpy as np
import sympy

from . import notation, symbolic
from .equations import axes_of
from .forward import Forward
from .in_place import calls
from .maps import FixedMap
from .memory import keep_freed
from .notation import column, draw, row
from .notation import units as units_symbol

__all__ = ["Kernel", "ShapeError", "Trajectory", "compile_cell"]


TRANSPOSED = {"shared": "total", "pooled": "repeat"}
"""What the transpose of a fixed net does; `forward` has what it does forward."""


class ShapeError(ValueError):
    """An array has the wrong shape: names it, with the shape expected and the shape given."""


@cache
def compile_cell(cell, namespace="numpy"):
    """The Kernel of a cell, compiled once, for an array namespace.

    "numpy"; "mpmath", mpmath numbers in object arrays; "torch", tensors on their own device, whose products may be taken in "bfloat16":
    "torch:bfloat16" rounds the factors of every product to bfloat16 and accumulates in float32.
    """
    return Kernel(cell, namespace)


def _arrays(namespace):
    """(module of array functions, matrix product) of a namespace."""
    if not namespace.startswith("torch"):
        return np, operator.matmul
    import torch

    if namespace == "torch:bfloat16":
        return torch, lambda a, b: (a.bfloat16() @ b.bfloat16()).float()
    return torch, operator.matmul


def _array_printer():
    """SymPy's printer of whole-array functions, for tables that are no module it knows."""
    from sympy.printing.numpy import NumPyPrinter

    return NumPyPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})


class _CompiledUnit:
    """One pointwise formula and its partial derivatives as array functions."""

    def __init__(self, unit, routines, printer=None):
        self.out, self.args = unit.out.name, [s.name for s in unit.reads]
        derivatives = symbolic.partials(unit)
        self.constant = {s.name: float(d) for s, d in derivatives.items() if d.is_number}
        varying = {s.name: d for s, d in derivatives.items() if s.name not in self.constant}
        self.varying = list(varying)
        self.value = sympy.lambdify(unit.reads, unit.formula, modules=routines, printer=printer, cse=True)
        self.slopes = sympy.lambdify(unit.reads, list(varying.values()), modules=routines, printer=printer, cse=True)

    @cached_property
    def calls(self):
        """The formula as calls that write in place, see `in_place.calls`."""
        return calls(self.value)


class Kernel:
    """The compiled cell, without weights.

    Weights come as a dict with the keys of `cell.parameters`, [to, from]; lengths follow from their shapes.
    """

    def __init__(self, cell, namespace="numpy"):
        keep_freed()
        self.cell, self.namespace = cell, namespace
        self.xp, self.product = _arrays(namespace)
        routines = notation.routines(namespace.partition(":")[0])
        self.units = {u.out.name: _CompiledUnit(u, routines, None if self.xp is np else _array_printer()) for u in cell.units}
        self.states = {old.name: new.name for old, new in cell.state.items()}
        self.parameters = cell.parameters
        self.weights = {}  # net -> {source: name of its weights, "1": name of its bias}
        for name, edge in self.parameters.items():
            self.weights.setdefault(edge.net, {})[edge.source] = name
        nets, sizes = {n.out.name: n for n in cell.nets}, cell.sizes
        vectors = {name for name, e in self.parameters.items() if e.source == "1" or nets[e.net].kind == "diagonal"}
        self._lengths, self._maps = {}, {}  # as found before: by the weights' own lengths, by all of them
        self.axes = {name: [sizes[e.net]] if name in vectors else [sizes[e.net], sizes[e.source]] for name, e in self.parameters.items()}

    def lengths(self, params):
        """{"inputs": m, "units": n, ...} of every length, read from the weights' shapes. Raises ShapeError where they disagree."""
        missing = self.parameters.keys() - params.keys()
        if missing or params.keys() - self.parameters.keys():
            extra = ", ".join(sorted(params.keys() - self.parameters.keys())) or "none"
            raise ShapeError(f"{self.cell.name}: weights missing: {', '.join(sorted(missing)) or 'none'}; unknown: {extra}; "
                             f"expected {', '.join(self.parameters)}")
        found = {}
        for name, axes in self.axes.items():
            shape = np.shape(params[name])
            if len(shape) != len(axes):
                raise ShapeError(f"{self.cell.name}: {name} has shape {shape}, expected {len(axes)} axes ({', '.join(axes)})")
            for axis, length in zip(axes, shape, strict=True):
                if found.setdefault(axis, (length, name))[0] != length:
                    raise ShapeError(f"{self.cell.name}: {name} has shape {shape}, but {axis} is "
                                     f"{found[axis][0]} in {found[axis][1]}")
        weights = tuple((axis, length) for axis, (length, _) in found.items())
        if weights not in self._lengths:
            self._lengths[weights] = self._all_lengths(dict(weights))
        return dict(self._lengths[weights])

    def _all_lengths(self, lengths):
        """`lengths` with those that follow: blocks, products, and an axis that only a product tells."""
        for size, length in list(lengths.items()):
            unknown = [axis for axis in axes_of(size) if axis not in lengths]
            rest = math.prod(lengths[axis] for axis in axes_of(size) if axis in lengths)
            if len(unknown) == 1 and rest and length % rest == 0:
                lengths[unknown[0]] = length // rest
        lengths.setdefault("blocks", lengths["units"])
        if lengths["units"] % lengths["blocks"]:
            raise ShapeError(f"{self.cell.name}: {lengths['units']} units do not divide into {lengths['blocks']} blocks")
        for size in dict.fromkeys(self.cell.sizes.values()):
            missing = [axis for axis in axes_of(size) if axis not in lengths]
            if missing:
                raise ShapeError(f"{self.cell.name}: no weight tells how long {missing[0]!r} is")
            product = math.prod(lengths[axis] for axis in axes_of(size))
            if lengths.setdefault(size, product) != product:
                raise ShapeError(f"{self.cell.name}: {size} is {lengths[size]} in a weight, but its axes give {product}")
        return lengths

    def fixed_maps(self, lengths):
        """{net: FixedMap} of the shared and pooled nets."""
        key = tuple(lengths.items())
        if key not in self._maps:
            self._maps[key] = self._fixed_maps(lengths)
        return self._maps[key]

    def _fixed_maps(self, lengths):
        sizes, maps = self.cell.sizes, {}
        for net in self.cell.nets:
            if net.fixed:
                short, long = (sizes[net.sources[0].name], net.size)[::1 if net.kind == "shared" else -1]
                if (short, long) == ("blocks", "units"):
                    axes, kept = (lengths["blocks"], lengths["units"] // lengths["blocks"]), (True, False)
                else:
                    axes = [lengths[axis] for axis in axes_of(long)]
                    kept = [axis in axes_of(short) for axis in axes_of(long)]
                maps[net.out.name] = FixedMap(axes, kept)
        return maps

    def random_params(self, units, inputs, rng, block_size=1, lengths=None):
        """Fresh weights as the cell starts them: U(-1/sqrt n, 1/sqrt n), biases around their initial number, formulas as they are.

        `lengths` replaces the usual lengths that the cell declares.
        """
        own = {**self.cell.lengths, **(lengths or {})}
        lengths = self._all_lengths({"units": units, "inputs": inputs, "blocks": units // block_size, **own})
        nets = {n.out.name: n for n in self.cell.nets}
        k, params = 1 / np.sqrt(units), {}
        for name, edge in self.parameters.items():
            net, shape = nets[edge.net], tuple(lengths[size] for size in self.axes[name])
            axes = shape if len(shape) == 2 else [lengths[axis] for axis in axes_of(self.axes[name][0])]
            formula = net.bias if edge.source == "1" else next((f for s, f in net.initial if s.name == edge.source), None)
            if isinstance(formula, sympy.Expr) or net.kind == "vector":
                params[name] = _evaluated(formula, axes, units, rng).reshape(shape)
            else:
                params[name] = rng.uniform(-k, k, shape) + (formula or 0.0)
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
        lengths = self.lengths(params)
        inputs, state0, add = self._inputs(x, lengths), state0 or {}, add or {}
        given = (inputs, params, state0, add)
        like = self._common([array for arrays in given for array in arrays.values()])
        state = self._start(state0, next(iter(inputs.values())).shape[1], lengths, like)
        run = Forward(self, params, inputs, lengths, like, cut=cut, frozen=frozen, hold=hold or {}, add=add)
        run.run(state)
        return Trajectory(self, params, inputs, run.values, state)

    def _inputs(self, x, lengths):
        """{input: array (time, batch, inputs)}, checked."""
        names = [s.name for s in self.cell.inputs]
        inputs = {k: self.xp.asarray(v) for k, v in (x if isinstance(x, dict) else {names[0]: x}).items()}
        if sorted(inputs) != sorted(names):
            raise ShapeError(f"{self.cell.name}: inputs are {', '.join(inputs)}, expected {', '.join(names)}; give a dict of arrays")
        first = inputs[names[0]]
        for name, array in inputs.items():
            if array.ndim != 3 or array.shape[-1] != lengths["inputs"] or array.shape != first.shape:
                raise ShapeError(f"{self.cell.name}: {name} has shape {array.shape}, expected (time, batch, {lengths['inputs']})")
        return inputs

    def _common(self, arrays):
        """Type (and device) of a run, from all that it is given."""
        if self.xp is np:
            return {"dtype": np.result_type(*map(np.asarray, arrays))}
        tensors = [self.xp.asarray(a) for a in arrays]
        return {"dtype": reduce(self.xp.promote_types, (a.dtype for a in tensors)), "device": tensors[0].device}

    def _start(self, state0, batch, lengths, like):
        """{previous state: (batch, units)} at the start, zero where nothing is given."""
        unknown = [name for name in state0 if name not in self.states]
        if unknown:
            raise ShapeError(f"{self.cell.name}: state0 has no {unknown[0]!r}; previous states are {', '.join(self.states)}")
        state = {}
        for old in self.states:
            shape = (batch, lengths[self.cell.sizes[old]])
            given = self.xp.asarray(state0.get(old, 0.0), **like)
            if tuple(given.shape) not in ((), shape, (1, shape[1]), shape[1:]):
                raise ShapeError(f"{self.cell.name}: state0[{old!r}] has shape {given.shape}, expected {shape}")
            state[old] = self.xp.broadcast_to(given, shape)
        return state


def _evaluated(formula, axes, units, rng):
    """An initial value over its axes: its formula of draw, row, column and units, or a number."""
    rows, columns = np.indices((*axes, 1, 1)[:2])
    function = sympy.lambdify((draw, row, column, units_symbol), formula, modules="numpy")
    return np.broadcast_to(function(rng.uniform(size=rows.shape), rows, columns, units), rows.shape).astype(float)


class Trajectory:
    """Every vector of a cell at every step of one run: `trajectory["net_c"]` is (time, batch, units).

    A previous state ("s_prev") is its new value shifted by one step, state0 first. `loops` are the compiled loops that what is measured
    along it is to use, `products` those for products of step Jacobians, `evaluated` evaluates pointwise formulas; None for NumPy.
    """

    loops = products = evaluated = None

    def __init__(self, kernel, params, inputs, values, state0):
        self.kernel, self.params, self.inputs, self.values, self.state0 = kernel, params, inputs, values, state0
        self.steps, self.batch = next(iter(values.values())).shape[:2]

    def __getitem__(self, name):
        if name in self.values:
            return self.values[name]
        if name in self.inputs:
            return self.inputs[name]
        new = self.values[self.kernel.states[name]]
        return self.kernel.xp.concatenate([self.state0[name][None], new[:-1]])

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
                value, xp = self.values[name], self.kernel.xp
                like = {"dtype": np.result_type(value, np.float32)} if xp is np else {"dtype": value.dtype, "device": value.device}
                found[name, arg] = xp.broadcast_to(xp.asarray(slope, **like), value.shape)
        return found

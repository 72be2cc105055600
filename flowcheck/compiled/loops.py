"""A cell as compiled loops: forward, BPTT, the truncated rule, probes. Same arguments and numbers as the NumPy functions.

For small nets, where NumPy's calls cost more than the arithmetic. Each (cell, lengths) is printed and compiled once, seconds the first
time on a machine, then read from the cache. Sums run in another order than in BLAS, so numbers agree to rounding, not bit for bit.
"""

from functools import cache, cached_property

import numpy as np

from ..gradients import Gradients
from ..kernels import ShapeError, Trajectory, compile_cell
from . import drivers
from .carried import Carried
from .chunks import Chunks, bring
from .modules import driver_source, load
from .printer import Printer
from .products import products
from .sensitivity import sensitivities
from .slopes import evaluated
from .storage import Storage
from .tile import tile_source
from .truncated import print_carried

__all__ = ["Loops", "compile_loops"]

CHUNK = 32
"""Steps over which errors are sent back at a time."""

STEPS = 64
"""Steps whose vectors are kept before the carried derivatives are brought forward over all of them: each is read and written once per so
many, so that its cost is arithmetic and not memory, for any number of weights."""


def compile_loops(cell, interpreted=False):
    """The Loops of a cell. `interpreted` runs the printed text as plain Python, slowly: to check it without compiling.

    Raises EquationError for an equation that cannot be printed, or when Numba is not installed, at first use.
    """
    return Loops(compile_cell(cell), interpreted)


@cache
def _program(kernel, lengths, one_hot, interpreted):
    return Program(kernel, dict(lengths), one_hot, interpreted)


class Program:
    """The compiled functions of one cell with given lengths."""

    def __init__(self, kernel, lengths, one_hot, interpreted):
        self.kernel, self.one_hot, self.interpreted = kernel, one_hot, interpreted
        self.storage = Storage(kernel, lengths)
        self._backward, self._truncated = {}, {}
        n = [self.storage.length(s) for s in ("x",) if s in self.storage.input_place] or [lengths["inputs"]]
        self.title = f"{kernel.cell.name}, {lengths['units']} units, {n[0]} inputs"

    def _load(self, parts, functions):
        text = "\n\n\n".join([*parts, driver_source(*functions)])
        return load(self.title, text, [f.__name__ for f in functions], self.interpreted)

    @cached_property
    def forward(self):
        return self._load([Printer(self.storage, one_hot=self.one_hot).step()], [drivers.forward])["forward"]

    def backward(self, cut, enter):
        """(backward, send_back) for given cut edges and vectors at which errors enter."""
        if (cut, enter) not in self._backward:
            printer = Printer(self.storage, cut, self.one_hot)
            found = self._load([printer.enter(enter), printer.back()], [drivers.backward, drivers.send_back])
            self._backward[cut, enter] = found["backward"], found["send_back"]
        return self._backward[cut, enter]

    def truncated(self, enter):
        """(truncated, Carried, Chunks) for given vectors at which errors enter."""
        if enter not in self._truncated:
            printer = Printer(self.storage, self.kernel.cell.recurrent_edges, self.one_hot, with_slopes=True)
            carried = Carried(printer, enter)
            chunks = Chunks(carried)
            parts = [printer.step(), printer.clear([*enter, *printer.read_by(carried.passed)]), printer.enter(enter),
                     printer.direct(carried.passed), print_carried(carried, chunks), chunks.weigh(), tile_source(self.interpreted),
                     driver_source(bring)]
            self._truncated[enter] = self._load(parts, [drivers.truncated])["truncated"], carried, chunks
        return self._truncated[enter]


class Loops:
    """Compiled loops of one cell; made by `compile_loops`."""

    def __init__(self, kernel, interpreted):
        self.kernel, self.cell, self.interpreted = kernel, kernel.cell, interpreted

    @property
    def products(self):
        """Loops over products of step Jacobians, the same for all cells."""
        return products(self.interpreted)

    @property
    def sensitivities(self):
        """The loop of RTRL, the same for all cells."""
        return sensitivities(self.interpreted)

    def program(self, params, one_hot=False):
        """The Program for the lengths of these weights."""
        lengths = self.kernel.lengths(params)
        return _program(self.kernel, tuple(sorted(lengths.items())), one_hot, self.interpreted)

    def forward(self, params, x, state0=None):
        """Run the cell over x, shape (time, batch, inputs), or (time, batch) whole numbers for one-hot inputs, from state0.

        Returns a Trajectory, as `Kernel.forward` does (of one-hot inputs, the vectors).
        """
        one_hot = not isinstance(x, dict) and np.ndim(x) == 2 and np.issubdtype(np.asarray(x).dtype, np.integer)
        program = self.program(params, one_hot)
        storage = program.storage
        inputs, packed = self._inputs(x, storage, one_hot)
        rows = np.zeros((packed.shape[1], packed.shape[0] + 1, storage.size))
        start = self._start(rows[:, 0], state0, storage)
        program.forward(rows, packed, storage.pack(params)[0], 0)
        return Run(self, params, inputs, start, rows, packed, program)

    def _inputs(self, x, storage, one_hot):
        """({input: array}, what the loops read), checked."""
        if not one_hot:
            inputs = self.kernel._inputs(x, storage.lengths)
            return inputs, _side_by_side([inputs[n] for n in storage.input_place])
        n, codes = storage.lengths["inputs"], np.ascontiguousarray(x, np.int64)
        if codes.size and not 0 <= codes.min() <= codes.max() < n:
            raise ShapeError(f"{self.cell.name}: one-hot inputs are whole numbers from 0 to {n - 1}, got {codes.min()} to {codes.max()}")
        return {self.cell.inputs[0].name: codes}, codes

    def _start(self, first, state0, storage):
        start = self.kernel._start(state0 or {}, len(first), storage.lengths, {"dtype": float})
        for old, new in self.kernel.states.items():
            first[:, storage.place[new]:storage.place[new] + storage.length(new)] = start[old]
        return start

    def bptt(self, trajectory, errors, cut=()):
        """Backpropagation through time, as `gradients.bptt`; the trajectory is one of `forward` or of the NumPy kernel."""
        run = self._run(trajectory)
        enter, packed = self._errors(run, errors)
        storage, cut = run.program.storage, self.cell.cut(cut)
        a = np.zeros_like(run.rows)
        a_x = np.zeros((*run.packed.shape[:2], 0 if run.program.one_hot else run.packed.shape[-1]))
        run.program.backward(cut, enter)[0](run.rows, run.packed, packed, storage.pack(run.params)[1], a, a_x, 0)
        pick = lambda name: a[..., storage.place[name]:storage.place[name] + storage.length(name)]  # noqa: E731
        net_errors = {n.out.name: pick(n.out.name)[:, 1:].transpose(1, 0, 2) for n in self.cell.nets}
        inputs = {} if run.program.one_hot else {
            name: a_x[..., k:k + storage.length(name)] for name, k in storage.input_place.items()}
        state0 = {old: pick(new)[:, 0].copy() for old, new in self.kernel.states.items()}
        return Gradients(_weight_gradients(run, a), inputs, state0, net_errors)

    def truncated_1997(self, params, x, errors, state0=None):
        """The rule of 1997 forward in time, dE/dw of `gradients.truncated_1997`: memory does not grow with the number of steps.

            dE/dw = sum_t e_s(t) ds(t)/dw,   ds(t)/dw carried from step to step     (A.1, (25) to (28))

        `errors` (time, batch, units) enter at the output, or a dict of such arrays. Returns Gradients with `params` only.
        """
        one_hot = not isinstance(x, dict) and np.ndim(x) == 2
        program = self.program(params, one_hot)
        storage = program.storage
        _, packed = self._inputs(x, storage, one_hot)
        errors = errors if isinstance(errors, dict) else {self.cell.output.name: errors}
        for name, array in errors.items():
            expected = (*packed.shape[:2], storage.length(name))
            if np.shape(array) != expected:
                raise ShapeError(f"errors at {name} have shape {np.shape(array)}, expected {expected}")
        entering = _side_by_side([*errors.values()])
        run, carried, chunks = program.truncated(tuple(errors))
        held = STEPS + 1 if carried.reads_rows else 2
        starts, rows = (np.zeros((length, carried.printer.size)) for length in (packed.shape[1], held))
        self._start(starts, state0, storage)
        gathered = sum(length for parts in carried.gathered_parts() for _, length in parts)
        g, (c, left, right, many_p, many_g) = np.zeros(carried.gradient_size), chunks.buffers(STEPS)
        run(rows, starts, packed, entering, *storage.pack(params), chunks.groups, chunks.panels, np.zeros((STEPS, gathered)),
            np.zeros((STEPS, carried.size)), np.zeros((STEPS, storage.size)), np.zeros(carried.carried_size), g, c, left, right, many_p,
            many_g, 0)
        chunks.add(many_g, g)
        return Gradients(carried.unpack(g))

    def send_back(self, trajectory, sender, errors, lags, *, b=0, end=None, cut=()):
        """Error vectors (rows, units) sent back from `sender` at step `end` over q = 0 ... lags: probes, products with the Jacobians.

            adjoint[name][q, i, j] 2**exponent[q] = sum_k errors[i, k] d sender_k(end) / d name_j(end - q)

        Full unless `cut`. Returns ({vector, state or input: (lags + 1, rows, units)}, exponent (lags + 1,)); nothing underflows.
        """
        run = self._run(trajectory)
        storage, steps = run.program.storage, trajectory.steps
        end, errors = steps - 1 if end is None else end, np.atleast_2d(np.asarray(errors, float))
        if not 0 <= lags <= end < steps:
            raise ValueError(f"{lags} lags back from step {end} do not lie in a sequence of {steps} steps")
        if errors.shape[1] != storage.length(sender):
            raise ShapeError(f"errors at {sender} have shape {errors.shape}, expected (rows, {storage.length(sender)})")
        a = np.zeros((lags + 2, len(errors), storage.size))
        a_x = np.zeros((lags + 2, len(errors), 0 if run.program.one_hot else run.packed.shape[-1]))
        a[0, :, storage.place[sender]:storage.place[sender] + storage.length(sender)] = errors
        places = np.concatenate([np.arange(storage.length(new)) + storage.place[new] for new in self.kernel.states.values()])
        exponent = np.zeros(lags + 2, np.int64)
        x = np.ascontiguousarray(run.packed[:, b])
        loop = run.program.backward(self.cell.cut(cut), (sender,))[1]
        loop(run.rows[b], x, end, storage.pack(run.params)[1], places, a, a_x, exponent, 0)
        found = {name: a[:-1, :, k:k + storage.length(name)] for name, k in storage.place.items()}
        if not run.program.one_hot:
            found |= {name: a_x[:-1, :, k:k + storage.length(name)] for name, k in storage.input_place.items()}
        return found, exponent[:-1]

    def sent_back(self, trajectory, sender, errors, *, b=0, end=None, cut=()):
        """The same from step `end` to the first, a few steps at a time: yield (adjoint, exponent) of consecutive steps, latest first.

        One row more than steps: at the states, what the earliest step sends to the step before.
        """
        run = self._run(trajectory)
        storage, end = run.program.storage, trajectory.steps - 1 if end is None else end
        places = np.concatenate([np.arange(storage.length(new)) + storage.place[new] for new in self.kernel.states.values()])
        first, shift = np.zeros((len(errors), storage.size)), 0
        first[:, storage.place[sender]:storage.place[sender] + storage.length(sender)] = errors
        x, weights = np.ascontiguousarray(run.packed[:, b]), storage.pack(run.params)[1]
        loop = run.program.backward(self.cell.cut(cut), (sender,))[1]
        while end >= 0:
            steps = min(CHUNK, end + 1)
            a, exponent = np.zeros((steps + 1, *first.shape)), np.zeros(steps + 1, np.int64)
            a_x = np.zeros((steps + 1, len(first), 0 if run.program.one_hot else run.packed.shape[-1]))
            a[0], exponent[0] = first, shift
            loop(run.rows[b], x, end, weights, places, a, a_x, exponent, 0)
            found = {name: a[:, :, k:k + storage.length(name)] for name, k in storage.place.items()}
            if not run.program.one_hot:
                found |= {name: a_x[:, :, k:k + storage.length(name)] for name, k in storage.input_place.items()}
            yield found, exponent
            first, shift, end = a[-1], exponent[-1], end - steps

    def _run(self, trajectory):
        if isinstance(trajectory, Run) and trajectory.kernel is self.kernel:
            return trajectory
        program = self.program(trajectory.params)
        storage = program.storage
        rows = np.zeros((trajectory.batch, trajectory.steps + 1, storage.size))
        for name, k in storage.place.items():
            rows[:, 1:, k:k + storage.length(name)] = trajectory[name].transpose(1, 0, 2)
        self._start(rows[:, 0], trajectory.state0, storage)
        _, packed = self._inputs(dict(trajectory.inputs), storage, False)
        return Run(self, trajectory.params, trajectory.inputs, trajectory.state0, rows, packed, program)

    def _errors(self, run, errors):
        """(names of the vectors at which errors enter, their errors side by side)."""
        errors = errors if isinstance(errors, dict) else {self.cell.output.name: errors}
        for name, array in errors.items():
            if np.shape(array) != run[name].shape:
                raise ShapeError(f"errors at {name} have shape {np.shape(array)}, expected {run[name].shape}")
        return tuple(errors), _side_by_side([*errors.values()])


class Run(Trajectory):
    """A Trajectory whose vectors are views of `rows` (batch, time + 1, all entries), as the loops filled them.

    What is measured along it uses compiled loops, too: `state_flow`, `probe_flow`, `bptt` and all that stands on them.
    """

    def __init__(self, loops, params, inputs, state0, rows, packed, program):
        storage = program.storage
        values = {name: rows[:, 1:, k:k + storage.length(name)].transpose(1, 0, 2) for name, k in storage.place.items()}
        super().__init__(loops.kernel, params, inputs, {e.out.name: values[e.out.name] for e in loops.cell.equations}, state0)
        self.loops, self.products, self.rows, self.packed, self.program = loops, loops.products, rows, packed, program

    def evaluated(self, b, formulas):
        """(values, largest) of pointwise formulas at all steps, see `slopes.evaluated`."""
        return evaluated(self, b, formulas)


def _side_by_side(arrays):
    """One array of float64 with the vectors of all; a single one that is so already is not copied."""
    return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1), float)


def _weight_gradients(run, a):
    """dE/dw_ij = sum over time and batch of dE/dnet_i(t) source_j(t), one product per run of nets."""
    storage, g = run.program.storage, np.zeros(run.program.storage.weights)
    for part in storage.runs:
        error = a[:, 1:, part.to:part.to + part.rows]
        array, place = storage.array(part.source)
        span = g[part.place:part.place + part.size]
        if array == "x" and run.program.one_hot:
            found = np.zeros((part.columns, part.rows))
            np.add.at(found, run.packed.T.ravel(), error.reshape(-1, part.rows))
            span[:] = found.T.ravel()
            continue
        if array == "x":
            source = run.packed.transpose(1, 0, 2)[..., place:place + part.columns]
        else:
            source = (run.rows[:, 1:] if array == "now" else run.rows[:, :-1])[..., place:place + part.columns]
        span[:] = (error * source).sum(axis=(0, 1)) if part.diagonal else sum(
            e.T @ s for e, s in zip(error, source, strict=True)).ravel()
    g[storage.bias:] = a[:, 1:, :storage.net_rows].sum(axis=(0, 1))
    return storage.unpack(g)

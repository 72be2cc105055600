"""Real-time recurrent learning: what every single weight does to the states, carried forward in time, no look back.

The second opinion on a backward pass, exact for all weights at once; it shares slopes with BPTT, but no chain. Columns of S are weights
and know nothing of each other: a group of them is carried through all steps, then the next. Along a trajectory of compiled loops, by
those of `compiled.sensitivity`.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg.blas import dgemm

from .flow.joint import JointJacobian
from .flow.rows import pointwise_slopes
from .gradients import Gradients, checked_errors
from .step import Step

__all__ = ["rtrl"]

_GROUP = 2**18
"""Entries of S that are carried together: two megabytes, so that every row is long beside what NumPy takes to begin one, some 0.3 us."""

_FEWEST = 192
"""Columns that a group has at least: fewer would make narrow products."""

_CHUNK_BYTES, _KEPT_BYTES = 2**20, 2**26
"""Step Jacobians are formed a chunk of steps at a time; all are kept for the next group where they fit 64 MiB."""


def rtrl(trajectory, errors, cut=()):
    """Gradients of all weights, carried forward in time, with `errors` = dE/dy(t) as for `gradients.bptt`.

        S(t) = J(t) S(t-1) + d state(t)/dw at fixed state(t-1),   dE/dw = sum_t dE/dstate(t) S(t)

    (Williams & Zipser 1989). Exact: equals BPTT, at O(weights n^2) a step for n units, O(n^4) for a fully connected net. One sequence
    after the other. Full gradient unless `cut`. Raises ShapeError where errors do not fit.
    """
    errors, kernel = checked_errors(trajectory, errors), trajectory.kernel
    totals = {name: np.zeros_like(np.asarray(p, float)) for name, p in trajectory.params.items()}
    step = Step(trajectory, cut)
    for b in range(trajectory.batch):
        sequence = _Sequence(step, errors, b)
        for net, names in kernel.weights.items():
            columns = np.split(sequence.gradient(net), np.cumsum([sequence.width(net, source) for source in names])[:-1], axis=1)
            for name, gradient in zip(names.values(), columns, strict=True):
                totals[name] += gradient.reshape(totals[name].shape)
    return Gradients(totals)


class _Sequence:
    """What all weights share: step Jacobians, d state(t)/d net(t), errors at the states and those that enter the nets of a step."""

    def __init__(self, step, errors, b):
        self.step, self.b, kernel = step, b, step.kernel
        self.steps, self.jacobian = step.trajectory.steps, JointJacobian(step, b)
        self.kinds = {n.out.name: n.kind for n in kernel.cell.nets}
        chunk = max(1, min(self.steps, _CHUNK_BYTES // (8 * self.jacobian.size**2)))
        self.chunks = [slice(t, min(t + chunk, self.steps)) for t in range(0, self.steps, chunk)]
        partials = {k: v if isinstance(v, float) else v[:, b] for k, v in step.trajectory.partials.items()}
        given = {name: np.asarray(array, float)[:, b] for name, array in errors.items()}
        self.entering = step.pullback(partials, {name: array for name, array in given.items() if name not in self.jacobian.columns})
        self.errors = np.zeros((self.steps, self.jacobian.size))
        for old, new in kernel.states.items():
            if new in given:
                self.errors[:, self.jacobian.columns[new]] = given[new]
            if old in self.entering:
                self.errors[:-1, self.jacobian.columns[new]] += self.entering[old][1:]
        self.slopes, kept = pointwise_slopes(step, b, every_net=True), _KEPT_BYTES // (8 * chunk * self.jacobian.size**2)
        self.operands, self.compiled, loops = _formed(self.jacobian.parts, self.chunks, kept), None, step.trajectory.loops
        if loops is not None and self.slopes is not None:
            self.compiled = loops.sensitivities.sequence(self.jacobian, self.chunks, kept, self.errors)
        if self.slopes is None:
            partials = {k: v if isinstance(v, float) else v[:, None] for k, v in partials.items()}
            eye = np.broadcast_to(np.eye(self.jacobian.size), (self.steps, self.jacobian.size, self.jacobian.size))
            self.by_net = step.pullback(partials, {new: eye[..., cols] for new, cols in self.jacobian.columns.items()})

    def width(self, net, source):
        """Weights from a source into one entry of a net."""
        return 1 if source == "1" or self.kinds[net] == "diagonal" else self.step.length(source)

    def _sources(self, net):
        """What a net reads, for all its columns: (steps, 1, width), or (steps, entries, width) for a diagonal net."""
        run, diagonal = self.step.trajectory, self.kinds[net] == "diagonal"
        ones = np.ones((self.steps, self.step.length(net) if diagonal else 1))
        found = [ones if s == "1" else run[s][:, self.b] for s in self.step.kernel.weights[net]]
        return np.stack(found, axis=2) if diagonal else np.concatenate(found, axis=1)[:, None]

    def gradient(self, net):
        """dE/dw of all weights into a net, (entries, width)."""
        source, entries = self._sources(net), self.step.length(net)
        width, direct = source.shape[2], self.entering.get(net)
        if direct is None:
            total = np.zeros((entries, width))
        else:
            total = direct.T @ source[:, 0] if source.shape[1] == 1 else np.einsum("te,tew->ew", direct, source)
        if self.compiled is not None:
            seeds = self._seeds(net, slice(0, entries))
            return total + self.compiled.gradient(seeds, source, total.shape) if seeds else total
        columns = max(_FEWEST, _GROUP // self.jacobian.size)
        edges = np.linspace(0, entries, max(1, round(entries * width / columns)) + 1).round().astype(int).tolist()
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            if last > first:
                total[first:last] += self._carried(net, slice(first, last), source if source.shape[1] == 1 else source[:, first:last])
        return total

    def _carried(self, net, rows, source):
        """sum over t of dE/dstate(t) S(t) of the weights into some entries of a net."""
        shape = rows.stop - rows.start, source.shape[2]
        group, seeds = _Group(self.jacobian, rows, shape), self._seeds(net, rows)
        total, found = (np.zeros(shape[0] * shape[1]) for _ in range(2))
        busy = np.flatnonzero(self.errors.any(axis=0))
        states = slice(busy[0], busy[-1] + 1) if len(busy) else slice(0, 0)
        errors = self.errors[:, states]
        for k, times in enumerate(self.chunks):
            operands = self.operands(k)
            for t in range(times.start, times.stop):
                if t:
                    group.advance([operand[t - times.start] for operand in operands])
                group.add(seeds, t, source[t])
                if errors[t].any():
                    total += np.dot(errors[t], group.now[states], out=found)
        return total.reshape(shape)

    def _seeds(self, net, rows):
        """d state(t)/d net(t): [(state's first entry, (steps, entries, 1) slopes by its own entry)], or (steps, all states, entries)."""
        if self.slopes is None:
            return self.by_net[net][:, :, rows] if net in self.by_net else None
        found = [(cols.start, self.slopes[new, net]) for new, cols in self.jacobian.columns.items() if (new, net) in self.slopes]
        return [(first, np.broadcast_to(slope, (self.steps, self.step.length(net)))[:, rows, None]) for first, slope in found]


def _formed(parts, chunks, kept):
    """A function of a chunk's number: its operands of all parts of J. As many chunks are `kept`."""
    return lru_cache(max(1, kept))(lambda k: [p.at(chunks[k]).copy() for p in parts])  # no method: the cycle would keep all


class _Group:
    """Some columns of S(t): `now`, (all states, weights); the next step is written beside it."""

    def __init__(self, jacobian, rows, shape):
        pair = np.zeros((2, jacobian.size, shape[0] * shape[1]))
        self.work, self.seed, self.shape = np.empty(pair.shape[1:]), np.empty(shape), shape
        self.turns = [(out, *self._plan(jacobian, now, out), self._bands(jacobian, out, rows)) for now, out in (pair, pair[::-1])]
        self.now, *_, self.bands = self.turns[1]

    def _plan(self, jacobian, now, out):
        """(states to be cleared, [(part, whether dense, what it reads, what it writes, whether it adds)]), diagonals first."""
        plan, written, cleared = [], set(), []
        for k, part in sorted(enumerate(jacobian.parts), key=lambda item: item[1].is_dense):
            inside = [cols for cols in jacobian.columns.values() if part.cols.start <= cols.start < part.cols.stop]
            add = any(cols.start in written for cols in inside)
            cleared += [out[cols] for cols in inside if add and cols.start not in written]
            written |= {cols.start for cols in inside}
            plan.append((k, part.is_dense, now[part.into], out[part.cols], add))
        return cleared + [out[cols] for cols in jacobian.columns.values() if cols.start not in written], plan

    def _bands(self, jacobian, out, rows):
        """{first entry of a state: (entries, sources), its own entries by the weights into them}."""
        stride = out.strides[0]
        return {cols.start: as_strided(out[cols][rows], self.shape, (stride + self.shape[1] * out.itemsize, out.itemsize))
                for cols in jacobian.columns.values() if cols.stop - cols.start >= rows.stop}

    def advance(self, operands):
        """J(t) S(t-1), by the operands of one step."""
        self.turns.reverse()
        self.now, cleared, plan, self.bands = self.turns[1]
        for rows in cleared:
            rows[...] = 0.0
        for k, dense, read, out, add in plan:
            if dense:
                dgemm(1.0, read.T, operands[k].T, float(add), out.T, overwrite_c=True)
            elif add:
                out += np.multiply(read, operands[k][:, None], out=self.work[:len(out)])
            else:
                np.multiply(read, operands[k][:, None], out=out)

    def add(self, seeds, t, source):
        """S(t) += d state(t)/d net(t) (x) source(t)."""
        if isinstance(seeds, list):
            for first, slope in seeds:
                self.bands[first] += np.multiply(slope[t], source, out=self.seed)
        elif seeds is not None:
            self.now.reshape(len(self.now), *self.shape)[...] += seeds[t][:, :, None] * source

"""The running product of step Jacobians, lag after lag: d state(t)/d state(t-q) for some rows, a few lags at a time.

The lags of a chunk share one exponent of two and are measured together, so that a lag costs one matrix product and little else.
Memory: two chunks, whatever the number of lags. Carries norms, largest entries and the rounding floor with it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import idamax

from .jacobian import Dense, StepJacobian
from .scaled import ROUNDING, frobenius, largest_entry

__all__ = ["Chunk", "JointJacobian", "StateProduct"]

_CHUNK_BYTES = 2**20
"""Products of one chunk: some dozens of lags for 64 units, one from 256 units on, where a lag costs so much that nothing else counts."""

_BITS = 150
"""Powers of two that the product may grow or shrink within a chunk: its squares stay far inside float64."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive lags: `matrices`[k] 2**exponent is the flow over lag `first` + k, shape (lags, rows, joint state).

    norms, largest and floors are lists over the same lags, in the units of the matrices.
    """

    first: int
    matrices: np.ndarray
    exponent: int
    norms: list
    largest: list
    floors: list

    @property
    def measured(self):
        """[(norm, largest entry, floor, exponent)] per lag."""
        return [(*m, self.exponent) for m in zip(self.norms, self.largest, self.floors, strict=True)]


@dataclass(frozen=True)
class _Part:
    """What the columns `cols` of the product, through J(t), add to its columns `into`; `add`: something was written there before."""

    cols: slice
    into: slice
    operand: object
    add: bool

    @property
    def is_dense(self):
        return isinstance(self.operand, Dense)

    def at(self, times):
        """(steps, ...): dense matrices, or diagonals."""
        if self.is_dense:
            return self.operand.at(times)
        rows = self.operand[times] if np.ndim(self.operand) == 2 else np.atleast_2d(self.operand)
        return np.broadcast_to(rows, (times.stop - times.start, self.cols.stop - self.cols.start))


class JointJacobian:
    """J(t) of the joint state along one sequence, ready to be multiplied from the left: dense parts and diagonals.

    columns   {state: slice} of its entries in the joint state
    size      number of entries of the joint state
    """

    def __init__(self, step, b):
        states = step.kernel.states
        sizes = [step.length(new) for new in states.values()]
        ends = np.cumsum(sizes).tolist()
        self.columns = {new: slice(e - n, e) for new, n, e in zip(states.values(), sizes, ends, strict=True)}
        self.size, self.parts = ends[-1], []
        blocks = StepJacobian(step, b).entries
        for old, into in states.items():
            groups, diagonals = [], []
            for new, cols in self.columns.items():
                entry = blocks.get((new, old))
                if entry is None:
                    continue
                if not entry.terms and entry.index is None:
                    diagonals.append((cols, entry.diagonal))
                elif groups and groups[-1][-1][0].stop == cols.start:
                    groups[-1].append((cols, entry))
                else:
                    groups.append([(cols, entry)])
            found = [(slice(group[0][0].start, group[-1][0].stop),
                      Dense([e for _, e in group], [c.stop - c.start for c, _ in group], step.length(old))) for group in groups]
            self.parts += [_Part(cols, self.columns[into], operand, k > 0) for k, (cols, operand) in enumerate([*found, *diagonals])]
        written = {p.into.start for p in self.parts}
        self.unreached = [cols for cols in self.columns.values() if cols.start not in written]

    def matrix(self, t):
        """J(t), (size, size), index [to, from]; may be overwritten by the next."""
        if len(self.parts) == 1 and self.parts[0].is_dense and self.parts[0].operand.shape == (self.size, self.size):
            return self.parts[0].at(slice(t, t + 1))[0]
        joint = np.zeros((self.size, self.size))
        for part in self.parts:
            operand = part.at(slice(t, t + 1))[0]
            joint[part.cols, part.into] = operand if part.is_dense else np.diag(operand)
        return joint

    def back(self, t, rows, out):
        """Write rows @ J(t) into `out`: (k, size) errors at state(t) sent back to state(t-1)."""
        for cols in self.unreached:
            out[:, cols] = 0.0
        for part in self.parts:
            operand, read, write = part.at(slice(t, t + 1))[0], rows[:, part.cols], out[:, part.into]
            product = np.matmul if part.is_dense else np.multiply
            if part.add:
                write += product(read, operand)
            else:
                product(read, operand, out=write)

    def forward(self, t, rows, out):
        """Write rows @ J(t)^T into `out`: (k, size) changes of state(t-1) carried on to state(t)."""
        parts = sorted(self.parts, key=lambda p: (not p.is_dense, p.cols.start - p.cols.stop))
        whole = bool(parts) and parts[0].is_dense and parts[0].operand.shape[0] == self.size
        if not whole:
            out[...] = 0.0
        for k, part in enumerate(parts):
            operand, read = part.at(slice(t, t + 1))[0], rows[:, part.into]
            if whole and k == 0:
                np.matmul(read, operand.T, out=out)
            else:
                out[:, part.cols] += np.matmul(read, operand.T) if part.is_dense else read * operand


class StateProduct:
    """Rows (a slice of the joint state at t) of d state(t)/d state(t-q), q = 1 ... lags, t = end.

        P(q) = P(q-1) J(t-q+1),   P(0) = rows of the identity,   index [to, from]

    One more row, random, travels along and shows how rounding errors grow; the floor is what `scaled.Scaled` says.
    """

    def __init__(self, step, b, end, lags, rows=slice(None)):
        jacobian = JointJacobian(step, b)
        self.columns, self.parts, n = jacobian.columns, jacobian.parts, jacobian.size
        self.end, self.lags = end, lags
        self.start = np.vstack([np.eye(n)[rows], np.random.default_rng(0).normal(size=(1, n)) / math.sqrt(n)])
        self.longest = max(1, min(lags, 64, _CHUNK_BYTES // (8 * self.start.size)))
        self.slots = [np.zeros((self.longest, *self.start.shape)) for _ in range(2)]
        self.views = [[self._views(slot) for slot in slots] for slots in self.slots]
        self.work = [np.empty((len(self.start), p.into.stop - p.into.start)) if p.add else None for p in self.parts]

    def _views(self, slot):
        """What each part reads of a product and writes into one."""
        return [slot[:, p.cols] for p in self.parts], [slot[:, p.into] for p in self.parts]

    def chunks(self):
        """Yield Chunks up to the last lag. Matrices are overwritten by the next but one chunk."""
        here, exponent, floor, longest, q = self.start, 0, 0.0, 1, 1
        norm, probe, largest = frobenius(here[:-1]), frobenius(here[-1]), 1.0
        turn = 0
        while q <= self.lags:
            k = min(longest, self.lags - q + 1)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                norms, probes, entries, steps = self._advance(here, turn, q, k)
            if k > 1 and not all(v == 0 or abs(math.log2(v)) < 2 * _BITS for v in entries if math.isfinite(v)):
                longest = max(1, k // 4)
                continue
            floors = []
            for now, moved, step_norm in zip(norms, probes, steps, strict=True):
                floor = floor * (moved / probe if probe > 0 else 0.0) + ROUNDING * norm * step_norm
                norm, probe = now, moved
                floors.append(floor)
            yield Chunk(q, self.slots[turn][:k, :-1], exponent, norms, entries, floors)
            rate = abs(math.log2(entries[-1] / largest)) / k if entries[-1] > 0 and largest > 0 else 0.0
            longest = min(self.longest, max(1, int(_BITS / (rate + 1))))
            here, largest, q = self.slots[turn][k - 1], entries[-1], q + k
            shift = math.frexp(largest)[1]
            if abs(shift) > 64 and largest > 0:
                here, exponent = np.ldexp(here, -shift), exponent + shift
                norm, probe, largest, floor = (math.ldexp(v, -shift) for v in (norm, probe, largest, floor))
            turn = 1 - turn

    def _advance(self, here, turn, q, k):
        """Multiply over the lags q ... q+k-1; (norms, norms of the random row, largest entries, norms of J), a list each."""
        times = slice(self.end - q - k + 2, self.end - q + 2)
        operands = [p.at(times) for p in self.parts]
        reads, slots = self._views(here)[0], self.slots[turn]
        for j, (slot_reads, into) in enumerate(self.views[turn][:k]):
            for part, operand, read, write, work in zip(self.parts, operands, reads, into, self.work, strict=True):
                product = np.matmul if part.is_dense else np.multiply
                if part.add:
                    write += product(read, operand[k - 1 - j], out=work)
                else:
                    product(read, operand[k - 1 - j], out=write)
            reads = slot_reads
        flats = slots[:k, :-1].reshape(k, -1)
        norms, probes = _norms(flats), _norms(slots[:k, -1])
        entries = [abs(float(f[idamax(f)])) if math.isfinite(n) else largest_entry(f) for f, n in zip(flats, norms, strict=True)]
        return norms, probes, entries, self._step_norms(operands, k)[::-1]

    def _step_norms(self, operands, steps):
        """Upper bounds of the norm of J at each step: Frobenius norms of its dense parts plus largest diagonal entries."""
        total = np.zeros(steps)
        for part, operand in zip(self.parts, operands, strict=True):
            flat = operand.reshape(len(operand), -1)
            total += _norms(flat) if part.is_dense else np.abs(flat).max(axis=1)
        return total.tolist()


def _norms(flats):
    """Norm of each row, a list; scaled first where the squares would leave the range of float64."""
    squares = np.matmul(flats[:, None], flats[:, :, None])[:, 0, 0].tolist()
    return [math.sqrt(s) if 1e-280 < s < 1e280 else frobenius(f) for s, f in zip(squares, flats, strict=True)]

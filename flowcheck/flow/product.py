"""The running product of step Jacobians, lag after lag: d state(t)/d state(t-q) for some rows, some lags at a time.

The lags of a chunk share one exponent of two and are measured together, so that a lag costs one matrix product and little else.
Memory: two chunks, whatever the number of lags. Carries norms, largest entries and the rounding floor with it.
"""

import math

import numpy as np

from .chunk import Chunk
from .joint import JointJacobian
from .one_by_one import OneByOne
from .scaled import ROUNDING, frobenius, largest_entry
from .together import LONGEST, Together, lags_kept, step_norms

__all__ = ["StateProduct", "identity", "units_apart"]

_BITS = 300
"""Powers of two that the product may grow or shrink within a chunk, half as many more where that was not foreseen: its squares stay
inside float64."""

_MILD = 2.0
"""Growth of rounding errors that a second factor may bring: a bit of 52. An LSTM's y_out h'(s) brings less."""


def units_apart(step):
    """Whether errors pass from each unit to itself alone, because no net reads several: every block of J(t) is diagonal then."""
    return all(net.kind == "diagonal" or not net.fixed and step.trajectory.inputs.keys() >= step.live[net.out.name].keys()
               for net in step.kernel.cell.nets)


def identity(step, rows=slice(None)):
    """(k, joint state) rows of the identity, where a product of all steps may start. Where units are apart, one row for each state, the sum
    of its units' rows: what the product makes of it are the diagonals of its blocks, and norms and entries are theirs.
    """
    size = max(cols.stop for cols in step.columns.values())
    if not units_apart(step):
        return np.eye(size)[rows]
    wanted, sums = np.zeros(size), np.zeros((len(step.columns), size))
    wanted[rows] = 1.0
    for row, cols in zip(sums, step.columns.values(), strict=True):
        row[cols] = wanted[cols]
    return sums[sums.any(axis=1)]


class StateProduct:
    """Rows times d state(t)/d state(t-q), q = 1 ... lags, t = end; by default of the identity, all of them.

        P(q) = P(q-1) J(t-q+1),   P(0) = rows,   index [to, from]

    One more row, random, travels along and shows how rounding errors grow; the floor is what `scaled.Scaled` says. Where matrices are not
    `kept`, chunks have none, and the products stay in the cache. Between chunks `go_on` may put other rows in the place of all.

    way   how lags are multiplied: one by one where a product fills a cache, else together; or by compiled loops
    """

    def __init__(self, step, b, end, lags, rows=None, kept=True):
        trajectory, self.kept = step.trajectory, kept
        self.jacobian = _jacobian(step, b, factored=trajectory.products is None)
        self.columns, n = self.jacobian.columns, self.jacobian.size
        self.size, self.rooms, self.compiled = n, [np.empty(0)] * 2, None
        if trajectory.products is not None:
            self.compiled = trajectory.products.product(self.jacobian.parts, self.columns, trajectory.steps)
        self.end, self.lags, self.exponent, self.floor, self.done, self.next_chunk, self.turn = end, lags, 0, 0.0, 0, 1, 0
        self.go_on(np.vstack([np.eye(n) if rows is None else rows, np.random.default_rng(0).normal(size=(1, n)) / math.sqrt(n)]))

    def go_on(self, rows, left_out=0):
        """Take `rows` from here on, the random one last; the `left_out` rows before it stand for what was left out."""
        self.start, self.left_out = rows, left_out
        self.way = self._way(rows.shape, self.lags - self.done)
        self.norm, self.probe, self.largest = frobenius(rows[:-1]), frobenius(rows[-1]), largest_entry(rows[:-1])
        self.floor += ROUNDING * self.norm if left_out else 0.0
        self.here = self.way.begin(rows)

    def _way(self, shape, lags):
        if self.compiled is not None:
            return _Compiled(self.compiled, self.end, shape, lags, self.kept, self.left_out)
        if not self.kept and OneByOne.pays(*shape):
            return OneByOne(self.jacobian, self.end, shape, lags, self.left_out)
        return Together(self.jacobian, self.end, shape, lags, self.kept, self.left_out, self.rooms)

    @property
    def rows(self):
        """The product as it stands, (rows, joint state), times 2**exponent; not to be written to."""
        return self.way.rows(self.here)

    def chunks(self, upto=None):
        """Yield Chunks up to lag `upto`, or the last. Matrices are overwritten by the next but one chunk."""
        upto, longest = self.lags if upto is None else min(upto, self.lags), min(self.next_chunk, self.way.longest)
        while self.done < upto:
            k = min(longest, upto - self.done)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                matrices, after, (norms, tails, probes, entries, steps), shifts = self.way.advance(self.here, self.turn, self.done + 1, k)
            if k > 1 and not _fit(entries):
                longest = max(1, k // 4)
                continue
            before = np.append(self.norm, norms[:-1])
            if shifts is not None:
                before = np.ldexp(before, np.append(0, shifts[:-1]) - shifts)
            floors = _floors(self.floor, np.append(self.probe, probes), ROUNDING * before * steps)
            first, exponent = self.done + 1, self.exponent if shifts is None else self.exponent + shifts
            last, grown = float(entries[-1]), 0 if shifts is None else int(shifts[-1])
            rate = abs(math.log2(last / self.largest) + grown) / k if last > 0 and self.largest > 0 else 0.0
            longest = self.way.longest
            if shifts is None or rate >= _BITS / 2:
                longest = min(longest, max(1, int(_BITS / (rate + 1))))
            self.norm, self.probe, self.floor = (float(v[-1]) for v in (norms, probes, floors))
            self.here, self.largest, self.done, self.exponent = after, last, self.done + k, self.exponent + grown
            shift = math.frexp(self.largest)[1]
            if abs(shift) > 64 and self.largest > 0:
                self.here, self.exponent = self.way.times_power_of_two(self.here, -shift), self.exponent + shift
                self.norm, self.probe, self.largest, self.floor = (
                    math.ldexp(v, -shift) for v in (self.norm, self.probe, self.largest, self.floor))
            self.turn, self.next_chunk = 1 - self.turn, longest
            yield Chunk(first, matrices, exponent, norms, entries, floors, tails, self.left_out)


class _Compiled:
    """A way of a product: compiled loops, all lags of a chunk in one call. Methods are those of `Together`."""

    begin, rows, times_power_of_two = Together.begin, staticmethod(Together.rows), staticmethod(Together.times_power_of_two)

    def __init__(self, compiled, end, shape, lags, kept, left_out):
        self.compiled, self.end, self.kept, self.left_out = compiled, end, kept, left_out
        compiled.make_room(shape[0])
        self.longest = min(lags, LONGEST) if compiled.alone and not kept else lags_kept(lags, shape)
        self.slots = [np.zeros((self.longest if kept else 1, *shape)) for _ in range(2)]

    def advance(self, here, turn, q, k):
        times = slice(self.end - q - k + 2, self.end - q + 2)
        slots = self.slots[turn][:k]
        (*found, exponents), operands = self.compiled.advance(here, slots, times, self.left_out)
        found.append(step_norms(self.compiled.parts, operands, times)[::-1])
        return slots[:, :-1], slots[(k - 1) % len(slots)], found, None if self.kept else exponents.astype(int)


def _jacobian(step, b, factored):
    """J(t) in two factors (`StepJacobian`), unless that lets rounding errors grow."""
    found = JointJacobian(step, b, factored)
    growth = math.prod(1.0 + float(np.abs(slope).max(initial=0.0)) for *_, slope in found.within)
    return found if growth <= _MILD else JointJacobian(step, b)


def _fit(entries):
    """Whether the largest entries of a chunk's lags are zero, or near enough to 1 for one exponent; others are left to the caller."""
    if 2.0**(-1.5 * _BITS) < entries.min() and entries.max() < 2.0**(1.5 * _BITS):
        return True
    return all(v == 0 or abs(math.log2(v)) < 1.5 * _BITS for v in entries.tolist() if math.isfinite(v))


def _floors(floor, probes, rounding):
    """floor(q) = floor(q-1) probe(q) / probe(q-1) + rounding(q); `probes` start one lag earlier. What travels with a probe that is zero
    is zero."""
    if len(rounding) > 8 and 0 < probes.min() and probes.max() < np.inf:
        return probes[1:] * (floor / probes[0] + np.cumsum(rounding / probes[1:]))
    floors = []
    for before, now, added in zip(probes[:-1].tolist(), probes[1:].tolist(), rounding.tolist(), strict=True):
        floor = floor * (now / before if before > 0 else 0.0) + added
        floors.append(floor)
    return np.array(floors)

"""The running product of step Jacobians, lag after lag: d state(t)/d state(t-q) for some rows, a few lags at a time.

The lags of a chunk share one exponent of two and are measured together, so that a lag costs one matrix product and little else.
Memory: two chunks, whatever the number of lags. Carries norms, largest entries and the rounding floor with it.
"""

import math

import numpy as np

from .chunk import Chunk, measured_together, row_norms
from .joint import JointJacobian
from .lags import Lags
from .scaled import ROUNDING, frobenius, largest_entry

__all__ = ["StateProduct"]

_CHUNK_BYTES = 2**20
"""Products of one chunk, where they are kept: some dozens of lags for 64 units, one from 256 units on."""

_FEW, _FEW_BYTES = 48, 3 * 2**17
"""Products whose step Jacobians are formed, and that are measured, together: more would gain nothing, or leave the cache."""

_LONGEST = 1024
"""Lags of a chunk at most."""

_BITS = 300
"""Powers of two that the product may grow or shrink within a chunk, half as many more where that was not foreseen: its squares stay
inside float64."""


class StateProduct:
    """Rows (a slice of the joint state at t) of d state(t)/d state(t-q), q = 1 ... lags, t = end.

        P(q) = P(q-1) J(t-q+1),   P(0) = rows of the identity,   index [to, from]

    One more row, random, travels along and shows how rounding errors grow; the floor is what `scaled.Scaled` says. Where matrices are not
    `kept`, chunks have none, and the products stay in the cache. Between chunks `go_on` may put other rows in the place of all.
    """

    def __init__(self, step, b, end, lags, rows=slice(None), kept=True):
        self.step, self.b, self.kept = step, b, kept
        self._prepare()
        n = self.size
        self.rooms = [np.empty(0)] * 2
        self.end, self.lags, self.exponent, self.floor, self.done, self.next_chunk, self.turn = end, lags, 0, 0.0, 0, 1, 0
        self.go_on(np.vstack([np.eye(n)[rows], np.random.default_rng(0).normal(size=(1, n)) / math.sqrt(n)]))

    def _prepare(self):
        """What does not depend on the rows."""
        self.jacobian, self.loops = self._of(self.step, self.b), self.step.trajectory.products
        self.columns, self.size = self.jacobian.columns, self.jacobian.size
        self.parts = sorted(self.jacobian.parts, key=lambda p: not p.is_dense)  # diagonals last: they run over a few rows at a time
        if self.loops is not None:
            self.compiled = self.loops.product(self.parts, self.columns, self.step.trajectory.steps)

    def _of(self, step, b):
        return JointJacobian(step, b)

    def go_on(self, rows, left_out=0):
        """Take `rows` from here on, the random one last; the `left_out` rows before it stand for what was left out."""
        self.start, self.left_out = rows, left_out
        self._allocate()
        self.norm, self.probe, self.largest = frobenius(rows[:-1]), frobenius(rows[-1]), largest_entry(rows[:-1])
        self.floor += ROUNDING * self.norm if left_out else 0.0
        self.here = self._begin()

    @property
    def rows(self):
        """The product as it stands, (rows, joint state), times 2**exponent; not to be written to."""
        return self.here

    def _allocate(self):
        lags = self.lags - self.done
        self.longest = max(1, min(lags, _LONGEST, _CHUNK_BYTES // (8 * self.start.size)))
        if self.loops is not None:
            self.compiled.make_room(len(self.start))
            self.longest = min(lags, _LONGEST) if self.compiled.alone and not self.kept else self.longest
            self.slots = [np.zeros((self.longest if self.kept else 1, *self.start.shape)) for _ in range(2)]
        else:
            formed = [math.prod(p.operand.shape) for p in self.parts if p.is_dense and not p.row_scaled]
            self.few = max(1, min(lags, _FEW, _FEW_BYTES // (8 * max(self.start.size, *formed, 0))))
            if self.kept:
                self.slots = [self._room(turn, self.longest) for turn in range(2)]
            else:
                self.longest, self.last = min(lags, _LONGEST), [np.empty(self.start.shape) for _ in range(2)]
                self.slots = [self._room(0, self.few)] * 2
            self.together = Lags(self.parts, self.slots)

    def _room(self, turn, count):
        """Room for so many products, the same memory whenever there is enough of it; zero where no part writes."""
        size = count * self.start.size
        if size > self.rooms[turn].size:
            self.rooms[turn] = np.empty(max(size, (_CHUNK_BYTES if self.kept else _FEW_BYTES) // 8))
        room = self.rooms[turn][:size].reshape(count, *self.start.shape)
        for cols in self.jacobian.unreached:
            room[:, :, cols] = 0.0
        return room

    def _begin(self):
        return self.start

    @staticmethod
    def _scaled(here, shift):
        return np.ldexp(here, shift)

    def chunks(self, upto=None):
        """Yield Chunks up to lag `upto`, or the last. Matrices are overwritten by the next but one chunk."""
        upto, longest = self.lags if upto is None else min(upto, self.lags), min(self.next_chunk, self.longest)
        while self.done < upto:
            k = min(longest, upto - self.done)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                matrices, after, (norms, tails, probes, entries, steps), shifts = self._advance(self.here, self.turn, self.done + 1, k)
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
            longest = self.longest if shifts is not None and rate < _BITS / 2 else min(self.longest, max(1, int(_BITS / (rate + 1))))
            self.norm, self.probe, self.floor = (float(v[-1]) for v in (norms, probes, floors))
            self.here, self.largest, self.done, self.exponent = after, last, self.done + k, self.exponent + grown
            shift = math.frexp(self.largest)[1]
            if abs(shift) > 64 and self.largest > 0:
                self.here, self.exponent = self._scaled(self.here, -shift), self.exponent + shift
                self.norm, self.probe, self.largest, self.floor = (
                    math.ldexp(v, -shift) for v in (self.norm, self.probe, self.largest, self.floor))
            self.turn, self.next_chunk = 1 - self.turn, longest
            yield Chunk(first, matrices, exponent, norms, entries, floors, tails, self.left_out)

    def _advance(self, here, turn, q, k):
        """Multiply over the lags q ... q+k-1: (products, the last as it goes on, (norms, norms of the rows for what was left out, norms of
        the random row, largest entries, bounds of the norm of J), exponents where they differ)."""
        if self.loops is None:
            found = np.empty((5, k))
            for first in range(0, k, self.few):
                count = min(self.few, k - first)
                here, found[:, first:first + count] = self._advance_few(here, turn, q + first, count, first if self.kept else 0)
            return self.slots[turn][:k, :-1] if self.kept else None, here, found, None
        times = slice(self.end - q - k + 2, self.end - q + 2)
        slots = self.slots[turn][:k]
        (*found, exponents), operands = self.compiled.advance(here, slots, times, self.left_out)
        found.append(self._step_norms(operands, times)[::-1])
        return slots[:, :-1], slots[(k - 1) % len(slots)], found, None if self.kept else exponents.astype(int)

    def _advance_few(self, here, turn, q, k, place):
        """The same over so few lags that all stay in the cache, written from slot `place` on: (last product, five rows of numbers)."""
        times = slice(self.end - q - k + 2, self.end - q + 2)
        slots = self.slots[turn][place:place + k]
        operands = self.together.operands(times)
        self.together.multiply(here, operands, turn, place)
        last = slots[-1]
        if not self.kept:
            np.copyto(self.last[turn], last)
            last = self.last[turn]
        return last, (*measured_together(slots, self.left_out), self._step_norms(operands, times)[::-1])

    def _step_norms(self, operands, times):
        """Upper bounds of the norm of J at each step: Frobenius norms of its dense parts plus largest diagonal entries."""
        total = np.zeros(times.stop - times.start)
        for part, operand in zip(self.parts, operands, strict=True):
            if not part.is_dense:
                total += np.abs(operand).max(axis=1)
            elif part.operand.bounds is not None:
                total += part.operand.bounds[times]
            else:
                total += row_norms(operand.reshape(len(operand), -1))
        return total


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

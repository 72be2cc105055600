"""Multiply rows by the step Jacobians of a few lags, into slots that are filled again and again, and measure them together.

For products so small that a lag costs little but its calls; or whose matrices are asked for.
"""

import math

import numpy as np

from ..formed import slopes_at
from ..plain_loop import Given, plain_loop
from .chunk import measured_together, row_norms

__all__ = ["LONGEST", "Together", "lags_kept", "step_norms"]

_CHUNK_BYTES = 2**20
"""Products of one chunk, where they are kept: some dozens of lags for 64 units, one from 256 units on."""

LONGEST = 1024
"""Lags of a chunk at most."""

_FEW, _FEW_BYTES = 192, 2**20
"""Products that are measured together, and their bytes: more would gain nothing, or leave the level-2 cache."""


def lags_kept(lags, shape):
    """Lags of a chunk whose products, of one shape, are kept."""
    return max(1, min(lags, LONGEST, _CHUNK_BYTES // (8 * math.prod(shape))))


class Together:
    """A way of `StateProduct`: the parts of a `JointJacobian`, one after the other, printed as a loop over lags.

    Where every step is diag(slopes) W, rows are scaled instead of W: slopes stand as often as there are rows, because products of two
    arrays of one shape are the fastest. `rooms` are two arrays of memory, used again by every way of a product.
    """

    def __init__(self, jacobian, end, shape, lags, kept, left_out, rooms):
        self.jacobian, self.end, self.shape, self.kept, self.left_out = jacobian, end, shape, kept, left_out
        self.parts = sorted(jacobian.parts, key=lambda p: not p.is_dense)
        self.scaled = [p.row_scaled for p in self.parts]
        size, self.formed = math.prod(shape), [None] * len(self.parts)
        self.few = max(1, min(lags, _FEW, _FEW_BYTES // (8 * size)))
        if kept:
            self.longest = lags_kept(lags, shape)
            self.slots = [self._room(rooms, turn, self.longest) for turn in range(2)]
        else:
            self.longest, self.last = min(lags, LONGEST), [np.empty(shape) for _ in range(2)]
            self.slots = [self._room(rooms, 0, self.few)] * 2
        self._print()

    def _room(self, rooms, turn, count):
        """Slots for so many products; zero where no part writes."""
        size = count * math.prod(self.shape)
        if size > rooms[turn].size:
            rooms[turn] = np.empty(max(size, (_CHUNK_BYTES if self.kept else _FEW_BYTES) // 8))
        room = rooms[turn][:size].reshape(count, *self.shape)
        for cols in self.jacobian.unreached:
            room[:, :, cols] = 0.0
        return room

    def _print(self):
        """The loop over lags: from r, what is read, and m, what it is multiplied by, to w, what is written; r is then the next read n."""
        self.given, self.reads, self.writes, self.multiplied = Given(), [], [], []
        lines = self._lines()
        r, n, w, m = (", ".join(f"{letter}{k}" for k in range(len(found))) for letter, found in (
            ("r", self.reads), ("n", self.reads), ("w", self.writes), ("m", self.multiplied)))
        text = [f"def loop({r}, each, {', '.join(self.given.names)}):", f"    for {m}, {w}, {n} in each:",
                *(f"        {line}" for line in lines), f"        {r} = {n}"]
        self.loop = plain_loop("\n".join(text)) if self.parts else None
        different = self.slots[:1] if self.slots[0] is self.slots[1] else self.slots
        views = [[[self._views(slot, *key) for key in keys] for keys in (self.writes, self.reads)] for slot in different]
        self.views = views * (2 // len(views))

    @staticmethod
    def _listed(found, letter, key):
        """What the loop calls that of which it gets another at every lag."""
        if key not in found:
            found.append(key)
        return f"{letter}{found.index(key)}"

    def _work(self, cols):
        """What the loop calls a matrix to work in, as wide as some columns."""
        return self.given.name(np.empty((self.shape[0], cols.stop - cols.start)))

    def _lines(self):
        lines, changed = [], {}  # changed: {first column of a state: its matrix after the factor `within`}
        multiply = self.given.name(np.multiply)

        def read(cols):
            return changed.get(cols.start) or self._listed(self.reads, "r", (cols.start, cols.stop))

        for k, (from_, into, _) in enumerate(self.jacobian.within, len(self.parts)):
            work, onto = self._work(into), read(into)
            lines.append(f"{multiply}({read(from_)}, {self._listed(self.multiplied, 'm', (k, None, None))}, {work})")
            changed.setdefault(into.start, self._work(into))
            lines.append(f"{self.given.name(np.add)}({onto}, {work}, {changed[into.start]})")
        for k, part in enumerate(self.parts):
            if part.is_dense:
                inside = [c for c in self.jacobian.columns.values() if part.cols.start <= c.start < part.cols.stop]
                pieces = [(read(c), (c.start - part.cols.start, c.stop - part.cols.start)) for c in inside]
                if not any(c.start in changed for c in inside):
                    pieces = [(read(part.cols), (None, None))]
                for number, (value, span) in enumerate(pieces):
                    lines += self._product(k, part, value, span, part.add or number > 0)
            else:
                lines += self._diagonal(k, part, read(part.cols))
        return lines

    def _diagonal(self, k, part, read):
        """Lines that multiply by a diagonal part."""
        m, w = self._listed(self.multiplied, "m", (k, None, None)), self._listed(self.writes, "w", (part.into.start, part.into.stop))
        if not part.add:
            return [f"{self.given.name(np.multiply)}({read}, {m}, {w})"]
        work = self._work(part.into)
        return [f"{self.given.name(np.multiply)}({read}, {m}, {work})", f"{w} += {work}"]

    def _product(self, k, part, read, span, add):
        """Lines that multiply by a dense part, or by the rows of it that one state reads."""
        lines, matrix, whole = [], None, part.into == slice(0, self.shape[1])
        if self.scaled[k] is not None:
            slopes, weights = self.scaled[k]
            matrix = self.given.name(weights)
            if slopes is not None:
                work = self._work(part.cols)
                lines.append(f"{self.given.name(np.multiply)}({read}, {self._listed(self.multiplied, 'm', (k, None, None))}, {work})")
                read = work
        matrix = matrix or self._listed(self.multiplied, "m", (k, *span))
        w = self._listed(self.writes, "w", (part.into.start, part.into.stop))
        if not add:  # `dot` is faster, and writes to whole matrices only
            return [*lines, f"{read}.dot({matrix}, {w})" if whole else f"{self.given.name(np.matmul)}({read}, {matrix}, {w})"]
        work = self._work(part.into)
        return [*lines, f"{read}.dot({matrix}, {work})", f"{w} += {work}"]

    @staticmethod
    def _views(slot, start, stop):
        """Columns of every product."""
        return list(slot if (start, stop) == (0, slot.shape[2]) else slot[:, :, start:stop])

    def begin(self, rows):
        """The product as this way keeps it."""
        return rows

    @staticmethod
    def rows(here):
        """The product as a matrix."""
        return here

    @staticmethod
    def times_power_of_two(here, shift):
        """The product times 2**shift."""
        return np.ldexp(here, shift)

    def advance(self, here, turn, q, k):
        """Multiply over the lags q ... q+k-1: (products, the last as it goes on, (norms, norms of the rows for what was left out, norms of
        the random row, largest entries, bounds of the norm of J), exponents where they differ)."""
        found = np.empty((5, k))
        for first in range(0, k, self.few):
            count = min(self.few, k - first)
            here, found[:, first:first + count] = self._few_lags(here, turn, q + first, count, first if self.kept else 0)
        return self.slots[turn][:k, :-1] if self.kept else None, here, found, None

    def _few_lags(self, here, turn, q, k, place):
        """The same over so few lags that all stay in the cache, written from slot `place` on: (last product, five rows of numbers)."""
        times = slice(self.end - q - k + 2, self.end - q + 2)
        slots = self.slots[turn][place:place + k]
        operands = self._operands(times)
        if self.loop is not None:
            reads = [here[:, start:stop] for start, stop in self.reads]
            matrices = [self._formed(times, *key) if operands[key[0]] is None else operands[key[0]][::-1, key[1]:key[2]]
                        for key in self.multiplied]
            views = [found[place:place + k] for keys in self.views[turn] for found in keys]
            self.loop(*reads, zip(*matrices, *views, strict=True), *self.given)
        last = slots[-1]
        if not self.kept:
            np.copyto(self.last[turn], last)
            last = self.last[turn]
        bounds = step_norms(self.parts, operands[:len(self.parts)], times)
        for slopes in operands[len(self.parts):]:
            bounds = bounds * (1.0 + np.abs(slopes[:, 0]).max(axis=1))
        return last, (*measured_together(slots, self.left_out), bounds[::-1])

    def _operands(self, times):
        """What each part multiplies by at a slice of steps, (steps, ...), and each factor `within`; None: formed on the way."""
        found = []
        for part, scaled in zip(self.parts, self.scaled, strict=True):
            slopes = None if scaled is None else scaled[0]
            on_the_way = part.is_dense and part.operand.bounds is not None
            found.append(self._slopes(slopes, times) if slopes is not None else None if on_the_way else part.at(times))
        return found + [self._slopes(slope, times) for *_, slope in self.jacobian.within]

    def _formed(self, times, k, first, last):
        """Yield some rows of dense part k at each of some steps, the last first; steps are formed a few at a time."""
        part = self.parts[k]
        few = part.operand.steps_together
        for stop in range(times.stop, times.start, -few):
            steps = slice(max(times.start, stop - few), stop)
            if self.formed[k] is None or self.formed[k][0] != steps:
                self.formed[k] = steps, part.at(steps)
            yield from self.formed[k][1][::-1, first:last]

    def _slopes(self, slopes, times):
        """Slopes, as often as there are rows."""
        found = slopes_at(slopes, times)
        return np.broadcast_to(found[:, None], (times.stop - times.start, self.shape[0], found.shape[-1])).copy()


def step_norms(parts, operands, times):
    """Upper bounds of the norm of J at each step: Frobenius norms of its dense parts plus largest diagonal entries."""
    total = np.zeros(times.stop - times.start)
    for part, operand in zip(parts, operands, strict=True):
        if not part.is_dense:
            total += np.abs(operand).max(axis=1)
        elif part.operand.bounds is not None:
            total += part.operand.bounds[times]
        else:
            total += row_norms(operand.reshape(len(operand), -1))
    return total

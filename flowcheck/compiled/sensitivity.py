"""Loops that carry what weights do to the states forward in time, S(t) = J(t) S(t-1) + seeds, COLUMNS weights side by side (`tile`).

A panel holds all states by COLUMNS weights: it is what tiles read and what they write, so nothing is packed. A group of panels that the
level-2 cache holds goes through some steps, then the next. Errors at state(t-1) are one more row of J(t), in a tile that has room for it.
"""

from functools import cache, lru_cache

import numpy as np

from .modules import driver_source, load
from .tile import COLUMNS, ROWS, tile_source

__all__ = ["Sensitivities", "sensitivities"]

_GROUP_BYTES = 2**18
"""Of panels that are carried together, those of both steps: half of a level-2 cache, the other half is for the matrices."""

tile = None  # printed before the loops


def carry(begin, steps, states, height, few, clears, diagonals, values, spread, table, matrices, panels, at, entries, slopes, places,
          sources, total):
    """Some steps, from step `begin` on: S(t) is in the half (t + 1) % 2 of `panels`, whose row `states` is added to `total`.

    A row of `clears`: first row, rows. Of `diagonals`: first row written, first row read, rows, place in `values`, whether it adds. Of
    `table`, matrices: first row written, rows, how many of them are overwritten and not added to, first row read, how many, place.
    Seeds: slopes[k, t, entries[c]] times sources[t, places[c]] is added to entry at[k, c] of the panel of weight c.
    """
    size, count = height * COLUMNS, total.shape[0] // COLUMNS
    for group in range(0, count, few):
        for t in range(begin, begin + steps):
            for r in range(values.shape[1]):
                for i in range(COLUMNS):
                    spread[r * COLUMNS + i] = values[t, r]
            for j in range(group, min(group + few, count)):
                now, out = (t % 2 * count + j) * size, ((t + 1) % 2 * count + j) * size
                if t == 0:
                    panels[out:out + size] = 0.0
                else:
                    for p in range(clears.shape[0]):
                        panels[out + clears[p, 0] * COLUMNS:out + (clears[p, 0] + clears[p, 1]) * COLUMNS] = 0.0
                    for p in range(diagonals.shape[0]):
                        into, read, length = out + diagonals[p, 0] * COLUMNS, now + diagonals[p, 1] * COLUMNS, diagonals[p, 2] * COLUMNS
                        place, add = diagonals[p, 3] * COLUMNS, diagonals[p, 4] == 1
                        o, u, s = panels[into:into + length], panels[read:read + length], spread[place:place + length]
                        for i in range(length):
                            o[i] = (o[i] if add else 0.0) + s[i] * u[i]
                    for p in range(table.shape[0]):
                        into, rows, fresh, read, depth = table[p, 0], table[p, 1], table[p, 2], table[p, 3], table[p, 4]
                        place = (t - begin) * matrices.shape[1] + table[p, 5]
                        for r in range(0, rows, ROWS):
                            tile(matrices, place + r * depth, depth, panels, now + read * COLUMNS, depth,
                                 panels, out + (into + r) * COLUMNS, COLUMNS, r >= fresh)
                    for i in range(COLUMNS):
                        total[j * COLUMNS + i] += panels[out + states * COLUMNS + i]
                for k in range(at.shape[0]):
                    for c in range(j * COLUMNS, (j + 1) * COLUMNS):
                        panels[out + at[k, c]] += slopes[k, t, entries[c]] * sources[t, places[c]]


class Sensitivities:
    """The compiled loop."""

    def __init__(self, interpreted):
        text = "\n\n\n".join([tile_source(interpreted), driver_source(carry)])
        self.loop = load("sensitivity", text, ["carry"], interpreted)["carry"]

    def sequence(self, jacobian, chunks, kept, errors):
        """A `Carrier` along one sequence, with errors (steps, all states): the matrices of as many `chunks` of steps are `kept`."""
        return Carrier(self.loop, jacobian, chunks, kept, errors)


class Carrier:
    """The weights into one net after the other, along one sequence. Rows of a panel: all states, the errors, room for the last tile."""

    def __init__(self, loop, jacobian, chunks, kept, errors):
        self.loop, self.chunks, self.states, self.errors = loop, chunks, jacobian.size, errors
        self.before = np.concatenate([np.zeros((1, self.states)), errors[:-1]])
        self.written, self.clears = np.zeros(self.states + 1 + ROWS, bool), np.zeros(self.states + 1 + ROWS, bool)
        self.diagonals, self.table, self.blocks, self.stride = [], [], [], 0
        values = [np.zeros((len(errors), 0))]
        for part in jacobian.parts:
            if not part.is_dense:
                length, add = part.cols.stop - part.cols.start, self.written[part.cols].any()
                self.diagonals.append((part.cols.start, part.into.start, length, sum(v.shape[1] for v in values), add))
                self.written[part.cols] = True
                values.append(part.at(slice(0, len(errors))))
        unread = {cols.start: cols for cols in jacobian.columns.values() if self.before[:, cols].any()}
        for part in (p for p in jacobian.parts if p.is_dense):
            with_errors = part.cols.stop == self.states and unread.pop(part.into.start, None) is not None
            self._add(part.cols.start, part.cols.stop - part.cols.start + with_errors, part.into, part.at, with_errors)
        for cols in unread.values():
            self._add(self.states, 1, cols, None, True)
        self.clears[:self.states] |= ~self.written[:self.states]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.clears, [False]]).astype(int))).reshape(-1, 2)
        self.plan = [np.array(rows, np.int64).reshape(-1, width) for rows, width in (
            (np.stack([edges[:, 0], edges[:, 1] - edges[:, 0]], axis=1), 2), (self.diagonals, 5), (self.table, 6))]
        self.values = np.concatenate(values, axis=1)
        self.spread = np.empty(self.values.shape[1] * COLUMNS)
        self.matrices, self.panels = lru_cache(max(1, kept))(self._matrices), np.zeros(0)

    def _add(self, first, rows, into, at, with_errors):
        """A row of the table. Whole tiles overwrite what is there where nothing has been written."""
        padded, depth = -(-rows // ROWS) * ROWS, into.stop - into.start
        span = slice(first, first + padded)
        fresh = 0 if self.written[span].any() else rows // ROWS * ROWS
        self.clears[first + fresh:span.stop] |= ~self.written[first + fresh:span.stop]
        self.written[span] = True
        self.table.append((first, padded, fresh, into.start, depth, self.stride))
        self.blocks.append((slice(self.stride, self.stride + rows * depth), into, at, with_errors))
        self.stride += padded * depth

    def _matrices(self, k):
        """(steps, all entries of the table's matrices) of a chunk."""
        times = self.chunks[k]
        found = np.zeros((times.stop - times.start, self.stride))
        for span, into, at, with_errors in self.blocks:
            end = span.stop - (into.stop - into.start if with_errors else 0)
            if at is not None:
                found[:, span.start:end] = at(times).reshape(len(found), -1)
            if with_errors:
                found[:, end:span.stop] = self.before[times, into]
        return found

    def gradient(self, seeds, source, shape):
        """sum over t of errors(t) S(t) of the weights into a net, (entries, width); seeds and source as in `sensitivity`."""
        columns, height = shape[0] * shape[1], len(self.written)
        padded = -(-columns // COLUMNS) * COLUMNS
        count, few = padded // COLUMNS, max(1, _GROUP_BYTES // (16 * height * COLUMNS))
        if len(self.panels) < 2 * padded * height:
            self.panels = np.zeros(2 * padded * height)
        weight = np.arange(padded) % columns  # the last panel repeats the first weights
        entries = weight // shape[1]
        at = np.array([(first + entries) * COLUMNS + np.arange(padded) % COLUMNS for first, _ in seeds])
        slopes, sources = np.array([slope[:, :, 0] for _, slope in seeds]), np.ascontiguousarray(source.reshape(len(source), -1))
        places, total = weight % sources.shape[1], np.zeros(padded)
        for k, times in enumerate(self.chunks):
            clears, diagonals, table = self.plan
            self.loop(times.start, times.stop - times.start, self.states, height, few, clears, diagonals, self.values, self.spread, table,
                      self.matrices(k), self.panels, at, entries, slopes, places, sources, total)
        last = self.panels[:2 * padded * height].reshape(2, count, height, COLUMNS)[len(self.errors) % 2, :, :self.states]
        total += np.einsum("r,prc->pc", self.errors[-1], last).ravel()
        return total[:columns].reshape(shape)


@cache
def sensitivities(interpreted=False):
    """The Sensitivities. Raises EquationError when Numba is not installed."""
    return Sensitivities(interpreted)

"""The running product with its rows shared out among threads, which meet only where rows are left out."""

import numpy as np

from .chunk import Chunk

__all__ = ["SharedProduct", "joined", "worth_sharing"]

_FEWEST, _LEAST = 64, 2**24
"""Rows of a thread, and rows times units squared, at least: with fewer there is less to multiply than each thread has to do again."""


def worth_sharing(threads, rows, units):
    """How many of the threads so many rows of a state of so many units are worth."""
    return max(1, min(threads, rows // max(_FEWEST, _LEAST // units**2)))


class SharedProduct:
    """A product (`product.StateProduct`) of norms alone, made of such products of some rows each, by `makes`, on as many threads."""

    def __init__(self, makes, pool):
        self.parts, self.pool = list(pool.map(lambda make: make(), makes)), pool
        self.size, self.columns, self.lags = self.parts[0].size, self.parts[0].columns, self.parts[0].lags
        self.start = self.rows

    done = property(lambda self: self.parts[0].done)
    left_out = property(lambda self: self.parts[-1].left_out)
    exponent = property(lambda self: max(p.exponent for p in self.parts))

    @property
    def rows(self):
        """The product as it stands, times 2**exponent."""
        scaled = [np.ldexp(p.rows, p.exponent - self.exponent) for p in self.parts]
        return np.vstack([*(rows[:-1] for rows in scaled), scaled[-1][-1:]])

    @property
    def norm(self):
        return float(np.linalg.norm([np.ldexp(p.norm, p.exponent - self.exponent) for p in self.parts]))

    def go_on(self, rows, left_out):
        """As `StateProduct.go_on`; where few rows are left, on fewer threads."""
        exponent, floor = self.exponent, np.linalg.norm([np.ldexp(p.floor, p.exponent - self.exponent) for p in self.parts])
        self.start, units = rows, max(cols.stop - cols.start for cols in self.columns.values())
        self.parts = self.parts[:worth_sharing(len(self.parts), len(rows), units)]
        edges = np.linspace(0, len(rows) - 1, len(self.parts) + 1).round().astype(int)
        for part, first, last in zip(self.parts, edges[:-1], edges[1:], strict=True):
            part.exponent, part.floor = exponent, float(floor) / len(self.parts) ** 0.5
            part.go_on(np.vstack([rows[first:last], rows[-1:]]), left_out if part is self.parts[-1] else 0)

    def chunks(self, upto=None):
        """Yield one Chunk of all lags up to `upto`, or the last."""
        first = self.done + 1
        if first > (self.lags if upto is None else min(upto, self.lags)):
            return
        found = list(self.pool.map(lambda part: _numbers(part.chunks(upto)), self.parts))
        norms, entries, floors, exponent = joined([measured for measured, _ in found]).T
        measured, tails = found[-1]  # the rows for what was left out are the last
        tails = np.ldexp(tails, (measured[:, 3] - exponent).astype(int))
        yield Chunk(first, None, exponent, norms, entries, floors, tails, self.left_out)


def _numbers(chunks):
    """((lags, 4), tails) of all chunks."""
    chunks = list(chunks)
    return np.concatenate([c.measured for c in chunks]), np.concatenate([c.tails for c in chunks])


def joined(parts):
    """(lags, 4) norm, largest entry, floor and exponent of several blocks of rows together, each with exponents of its own."""
    if len(parts) == 1:
        return parts[0]
    exponent = np.max([p[:, 3] for p in parts], axis=0)
    norms, entries, floors = (np.array([np.ldexp(p[:, k], (p[:, 3] - exponent).astype(int)) for p in parts]) for k in range(3))
    return np.stack([np.linalg.norm(norms, axis=0), entries.max(axis=0), np.linalg.norm(floors, axis=0), exponent], axis=1)

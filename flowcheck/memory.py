"""Memory of arrays: matrices that start on a cache line, and arrays that share large pieces.

malloc's matrices do not: BLAS multiplies 256 x 256 by a vector in a tenth less time where not every other load fetches two lines. Many
arrays of some hundred kilobytes cost more than what is written to them: pages are fetched and given back one by one.
"""

import math

import numpy as np

__all__ = ["Pieces", "stacked"]

_LINE = 64
"""Bytes of a cache line."""

_PIECE = 2**22
"""Bytes from which on NumPy asks for huge pages."""


def stacked(matrices, order="C"):
    """The matrices on top of one another, as one matrix in memory of its own."""
    rows, dtype = sum(len(m) for m in matrices), np.result_type(*matrices)
    columns = matrices[0].shape[1]
    memory = np.empty(rows * columns * dtype.itemsize + _LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % _LINE
    return np.concatenate(matrices, out=np.ndarray((rows, columns), dtype, memory, start, order=order))


class Pieces:
    """Arrays of one type, out of pieces of at least 4 MiB if `expected` bytes of them will be needed and that is worth it."""

    def __init__(self, dtype, expected):
        self.dtype = np.dtype(dtype)
        self.least, self.room = (_PIECE if expected > _PIECE // 2 else 0) // self.dtype.itemsize, np.empty(0, dtype)

    def empty(self, *shape):
        """An array whose values are not set."""
        size = math.prod(shape)
        if size > len(self.room):
            self.room = np.empty(max(size, self.least), self.dtype)
        found, self.room = self.room[:size], self.room[size:]
        return found.reshape(shape)

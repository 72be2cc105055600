"""Norms of the running product where one lag fills a cache: lags are multiplied one by one, each measured while it is there."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dgemm, idamax

from ..jacobian import Dense
from .scaled import frobenius, largest_entry

__all__ = ["OneByOne"]

_BLOCK_BYTES = 2**17
"""Rows of one state that are worked on at a time: they stay in the level-2 cache from one operation to the next."""

_LONGEST = 64
"""Lags of a chunk at most: what a chunk costs beside its lags is lost in them."""


class OneByOne:
    """A way of `StateProduct` that has norms alone; methods are those of `together.Together`.

    The columns of each state are a matrix of their own, (rows, units). The factor of J(t) that is `within` the state is multiplied in
    place; so are the slopes of diag(f'(t)) W, and W is never scaled. Memory: three products.
    """

    @staticmethod
    def pays(rows, size):
        """Whether a lag's product is so large that lags need not share their bookkeeping."""
        return 8 * rows * size >= _BLOCK_BYTES

    def __init__(self, jacobian, end, shape, lags, left_out):
        self.end, self.left_out, self.longest, self.columns = end, left_out, min(lags, _LONGEST), jacobian.columns
        self._take(jacobian)
        lengths, last = [cols.stop - cols.start for cols in self.columns.values()], shape[0] - 1
        few, kept = max(1, _BLOCK_BYTES // (8 * max(lengths))), last - left_out
        self.blocks = [slice(r, min(r + few, kept)) for r in range(0, kept, few)]
        self.blocks += [slice(*pair) for pair in ((kept, last), (last, last + 1)) if pair[0] < pair[1]]
        self.products = [_Product([np.zeros((last + 1, n)) for n in lengths], self.blocks) for _ in range(3)]
        self.work = np.empty(few * max(lengths))

    def _take(self, jacobian):
        """The parts of J(t) by what is done with them."""
        place = {cols.start: k for k, cols in enumerate(self.columns.values())}
        self.unreached = [place[cols.start] for cols in jacobian.unreached]
        self.diagonal = [_Diagonal(place[p.cols.start], place[p.into.start], p.operand, p.add) for p in jacobian.parts if not p.is_dense]
        self.within = [_Diagonal(place[a.start], place[b.start], slope, True) for a, b, slope in jacobian.within]
        self.dense, self.slopes = [], []
        for part in jacobian.parts:
            if part.is_dense:
                sources = [(k, slice(cols.start - part.cols.start, cols.stop - part.cols.start))
                           for k, cols in enumerate(self.columns.values()) if part.cols.start <= cols.start < part.cols.stop]
                scaled = part.row_scaled
                if scaled is not None and scaled[0] is not None:
                    self.slopes.append(_Diagonal(sources[0][0], sources[0][0], scaled[0], False))
                self.dense.append(_Factor(part.operand, None if scaled is None else scaled[1], sources, place[part.into.start], part.add))

    def begin(self, rows):
        """Its columns in the first product."""
        for matrix, cols in zip(self.products[0].matrices, self.columns.values(), strict=True):
            matrix[...] = rows[:, cols]
        return self.products[0]

    @staticmethod
    def rows(here):
        return np.concatenate(here.matrices, axis=1)

    @staticmethod
    def times_power_of_two(here, shift):
        for matrix in here.matrices:
            np.ldexp(matrix, shift, out=matrix)
        return here

    def advance(self, here, turn, q, k):
        """As in `Together`; `here` stays as it is, for a second try with fewer lags."""
        read, write = [p for p in self.products if p is not here]
        times = range(self.end - q + 1, self.end - q - k + 1, -1)
        for matrix, given in zip(read.matrices, here.matrices, strict=True):
            np.copyto(matrix, given)
        for block in read.blocks:
            self._add(self._rows([*self.within, *self.slopes], times[0]), block, block)
        found = np.empty((k, 5))
        for j, t in enumerate(times):
            for state in self.unreached:
                write.matrices[state][...] = 0.0
            varying = self._multiply_dense(read.matrices, write.matrices, t)
            diagonals = self._rows(self.diagonal, t)
            following = self._rows([*self.within, *self.slopes], t - 1) if j < k - 1 else []
            found[j] = *self._measured(read.blocks, write.blocks, diagonals, following), varying
            read, write = write, read
        *found, varying = found.T
        return None, read, (*found, self._bounds(times, varying)), None

    @staticmethod
    def _rows(diagonals, t):
        """[(from, into, slopes at one step, whether it is added to what is there)]"""
        return [(d.source, d.into, d.slope[t] if np.ndim(d.slope) == 2 else d.slope, d.add) for d in diagonals]

    def _multiply_dense(self, read, write, t):
        """Write the dense parts; the norm of those that have no bound of their own."""
        varying = 0.0
        for factor in self.dense:
            matrix, out, add = factor.at(t), write[factor.into], factor.add
            if factor.operand.bounds is None:
                varying += frobenius(matrix)
            for state, rows in factor.sources:
                if add:
                    dgemm(1.0, matrix[rows].T, read[state].T, 1.0, out.T, overwrite_c=True)
                else:
                    np.matmul(read[state], matrix[rows], out=out)
                add = True
        return varying

    def _add(self, diagonals, read, write):
        """The diagonal parts of one block of rows: into[:, j] (+)= from[:, j] slope_j."""
        for source, into, slope, add in diagonals:
            rows, out = read[source], write[into]
            if add:
                out += np.multiply(rows, slope, out=self.work[:rows.size].reshape(rows.shape))
            else:
                np.multiply(rows, slope, out=out)

    def _measured(self, read, write, diagonals, following):
        """The diagonal parts and, after each block is measured, the next lag's factors: (norm, that of the rows for what was left out, that
        of the random row, largest)."""
        norms, largest = [], 0.0
        for source, block in zip(read, write, strict=True):
            self._add(diagonals, source, block)
            for rows in block:
                flat = rows.reshape(-1)
                square = float(flat.dot(flat))
                fine = 1e-280 < square < 1e280
                norms.append(math.sqrt(square) if fine else frobenius(flat))
                if block is not write[-1]:
                    largest = max(largest, abs(float(flat[idamax(flat)])) if fine else largest_entry(flat))
            self._add(following, block, block)
        states = len(self.columns)
        tail = math.hypot(*norms[-2 * states:-states]) if self.left_out else 0.0
        return math.hypot(*norms[:-states]), tail, math.hypot(*norms[-states:]), largest

    def _bounds(self, times, varying):
        """Upper bounds of the norm of J at each step; `varying` is that of the dense parts that had to be measured."""
        at = np.array(times)
        total = varying + sum(factor.operand.bounds[at] for factor in self.dense if factor.operand.bounds is not None)
        total = total + sum(d.largest(at) for d in self.diagonal)
        return total * math.prod(1.0 + d.largest(at) for d in self.within)


class _Product:
    """A matrix for each state, and its blocks of rows: [[rows of each state] of each block]."""

    def __init__(self, matrices, blocks):
        self.matrices, self.blocks = matrices, [[m[rows] for m in matrices] for rows in blocks]


@dataclass
class _Factor:
    """What the states `sources`, [(state, its rows of the matrix)], add to state `into` through a dense part; with `weights`, the slopes
    were multiplied before, and these are all that is left of it."""

    operand: Dense
    weights: np.ndarray | None
    sources: list
    into: int
    add: bool
    formed: range = range(0)

    def at(self, t):
        """The matrix of step t; steps before it are formed with it, as they are asked for next."""
        if self.weights is not None:
            return self.weights
        if t not in self.formed:
            few = self.operand.steps_together
            self.formed = range(max(0, t + 1 - few), t + 1)
            self.matrices = self.operand.at(slice(self.formed.start, self.formed.stop))
        return self.matrices[t - self.formed.start]


@dataclass(frozen=True)
class _Diagonal:
    """What the columns of state `source` add, times a slope, to those of state `into`; `add`: something was written there before."""

    source: int
    into: int
    slope: object
    add: bool

    def largest(self, times):
        """Largest |slope| at each step."""
        return np.abs(self.slope[times]).max(axis=1) if np.ndim(self.slope) == 2 else np.abs(self.slope).max()

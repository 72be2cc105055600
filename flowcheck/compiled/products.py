"""Loops over lags for small nets: products of step Jacobians and rows of errors, for any cell, from slopes that NumPy has made.

They do what `product.StateProduct`, `jacobian.Dense` and `rows.RowProduct` do without them. Their source is compiled once for all cells.
"""

import math
from functools import cache

import numpy as np

from .modules import driver_source, load

__all__ = ["Products", "products"]


def add_product(rows, cols, depth, matrix, place, out, into, width):
    """out[:, into:into + width] += rows[:, cols:cols + depth] @ matrix, which lies at `place`, (depth, width), in a flat array."""
    whole = depth - depth % 4
    for c in range(0, whole, 4):
        start = place + c * width
        u0, u1 = matrix[start:start + width], matrix[start + width:start + 2 * width]
        u2, u3 = matrix[start + 2 * width:start + 3 * width], matrix[start + 3 * width:start + 4 * width]
        for r in range(rows.shape[0]):
            v0, v1, v2, v3 = rows[r, cols + c], rows[r, cols + c + 1], rows[r, cols + c + 2], rows[r, cols + c + 3]
            o = out[r, into:into + width]
            for i in range(width):
                o[i] += (v0 * u0[i] + v1 * u1[i]) + (v2 * u2[i] + v3 * u3[i])
    for c in range(whole, depth):
        u0 = matrix[place + c * width:place + (c + 1) * width]
        for r in range(rows.shape[0]):
            v0, o = rows[r, cols + c], out[r, into:into + width]
            for i in range(width):
                o[i] += v0 * u0[i]


def form(t, pieces, values, weights, width, matrix):
    """J(t)'s dense part: row r is the sum of weights' rows times values, plus a value on the diagonal. A row of `pieces`: first row, rows,
    terms, place in `weights`, place of the scales of each term in `values`, how far apart terms are there, place of the diagonal or -1."""
    for p in range(pieces.shape[0]):
        first, rows, terms = pieces[p, 0], pieces[p, 1], pieces[p, 2]
        scales, apart, w = pieces[p, 4] + t * rows, pieces[p, 5], pieces[p, 3]
        for r in range(rows):
            o = matrix[(first + r) * width:(first + r + 1) * width]
            if terms == 0:
                o[:] = 0.0
            for k in range(terms):
                s, u = values[scales + k * apart + r], weights[w + (r * terms + k) * width:w + (r * terms + k + 1) * width]
                for i in range(width):
                    o[i] = (o[i] if k else 0.0) + s * u[i]
            if pieces[p, 6] >= 0:
                o[r] += values[pieces[p, 6] + t * rows + r]


def add_diagonal(rows, cols, diagonal, out, into, add):
    """out[:, into:] (+)= rows[:, cols:] * diagonal."""
    width = diagonal.shape[0]
    for r in range(rows.shape[0]):
        v, o = rows[r, cols:cols + width], out[r, into:into + width]
        for i in range(width):
            o[i] = (o[i] if add else 0.0) + v[i] * diagonal[i]


def add_matrix(rows, cols, depth, matrix, width, room, out, into, add):
    """out[:, into:] (+)= rows[:, cols:] @ matrix, (depth, width), flat. Where all columns are read, by BLAS, which Numba calls itself."""
    if depth < rows.shape[1]:
        if not add:
            out[:, into:into + width] = 0.0
        add_product(rows, cols, depth, matrix, 0, out, into, width)
        return
    whole = width == out.shape[1] and not add
    product = out if whole else room[:rows.shape[0] * width].reshape((rows.shape[0], width))
    np.dot(rows, matrix.reshape((depth, width)), product)
    if not whole:
        for r in range(rows.shape[0]):
            o, u = out[r, into:into + width], product[r]
            for i in range(width):
                o[i] = (o[i] if add else 0.0) + u[i]


def measure(rows, sums, tops):
    """(Frobenius norm, largest |entry|): the sum of squares where that stays inside float64, else of scaled entries."""
    sums[:] = 0.0
    tops[:] = 0.0
    for r in range(rows.shape[0]):
        o = rows[r]
        for i in range(sums.shape[0]):
            v = abs(o[i])
            sums[i] += v * v
            tops[i] = v if v > tops[i] else tops[i]
    square, largest = 0.0, 0.0
    for i in range(sums.shape[0]):
        square += sums[i]
        largest = max(largest, tops[i])
    if 1e-280 < square < 1e280 or largest == 0.0:
        return math.sqrt(square), largest
    square = 0.0
    for r in range(rows.shape[0]):
        for i in range(sums.shape[0]):
            square += (rows[r, i] / largest) ** 2
    return largest * math.sqrt(square), largest


def advance(here, slots, last, table, pieces, values, weights, given, found):
    """P(j) = P(j - 1) J(last - j), from `here` on, in one of `slots` after the other, which are used in turn. `found`: what `measure` finds
    of all rows but the last, and the norm of that.

    A row of `table` is a part of J: kind, first column read, how many, first column written, how many, whether it adds, first and last of
    its `pieces`, place. Kinds: 0 a diagonal, (steps, how many) at `place` of `values`; 1 a matrix to be formed; 2 one that lies in
    `given`, those of all lags at `place`, the last lag first.
    """
    lags, size, rows = found.shape[1], slots.shape[2], here
    sums, tops, room, matrix = np.empty(size), np.empty(size), np.empty(here.size), np.empty(size * size)
    for j in range(lags):
        out = slots[j % slots.shape[0]]
        for p in range(table.shape[0]):
            cols, depth, into, width, add, place = table[p, 1], table[p, 2], table[p, 3], table[p, 4], table[p, 5] == 1, table[p, 8]
            if table[p, 0] == 0:
                start = place + (last - j) * width
                add_diagonal(rows, cols, values[start:start + width], out, into, add)
            else:
                operand = matrix
                if table[p, 0] == 1:
                    form(last - j, pieces[table[p, 6]:table[p, 7]], values, weights, width, matrix)
                else:
                    operand = given[place + (lags - 1 - j) * depth * width:]
                add_matrix(rows, cols, depth, operand[:depth * width], width, room, out, into, add)
        found[0, j], found[1, j] = measure(out[:-1], sums, tops)
        found[2, j] = measure(out[-1:], sums, tops)[0]
        rows = out


def back(rows, end, slopes, table, weights, direct, out):
    """out[q] = rows J(end) ... J(end - q), out being zero before. A row of `table`: first column written, first entry read of the errors
    at the roots, how many, place in `weights`; of `direct`: first column written, first entry read."""
    news, roots, n = slopes.shape[1], slopes.shape[2], slopes.shape[3]
    errors = np.empty((1, roots * n))
    for q in range(out.shape[0]):
        before = rows if q == 0 else out[q - 1]
        for r in range(out.shape[1]):
            errors[:] = 0.0
            for i in range(news):
                h = before[r, i * n:(i + 1) * n]
                for j in range(roots):
                    e, s = errors[0, j * n:(j + 1) * n], slopes[end - q, i, j]
                    for m in range(n):
                        e[m] += h[m] * s[m]
            o = out[q, r:r + 1]
            for p in range(table.shape[0]):
                add_product(errors, table[p, 1], table[p, 2], weights, table[p, 3], o, table[p, 0], n)
            for p in range(direct.shape[0]):
                o[0, direct[p, 0]:direct[p, 0] + n] += errors[0, direct[p, 1]:direct[p, 1] + n]


class Products:
    """The compiled loops with the arguments that NumPy's ways have."""

    def __init__(self, interpreted):
        functions = [add_product, form, add_diagonal, add_matrix, measure, advance, back]
        self.loops = load("products", driver_source(*functions), ["advance", "back"], interpreted)

    def product(self, parts, steps):
        """A `Product` of the parts of J (`product.JointJacobian`) along a sequence."""
        return Product(self.loops, parts, steps)

    def back(self, rows, end, slopes, weights, direct, out):
        """Fill `out` (lags, k, joint state) with rows @ J(end) ...; weights [(columns, read, matrix)], direct [(columns, read)]."""
        flat, table, place = [np.empty(0)], [], 0
        for columns, read, matrix in weights:
            table.append((columns.start, read.start, read.stop - read.start, place))
            flat.append(np.ravel(matrix))
            place += matrix.size
        pairs = [(columns.start, read.start) for columns, read in direct]
        self.loops["back"](np.ascontiguousarray(rows), end, slopes, np.array(table, np.int64).reshape(-1, 4), np.concatenate(flat),
                           np.array(pairs, np.int64).reshape(-1, 2), out)


class Product:
    """Rows times J(t), lag after lag: constant weights, the values of all steps, and a table that says where everything lies."""

    def __init__(self, loops, parts, steps):
        self.loops, self.parts, self.weights, self.values, self.inside = loops, parts, [np.empty(0)], [np.empty(0)], []
        self.table, pieces = np.zeros((len(parts), 9), np.int64), []
        for part, row in zip(parts, self.table, strict=True):
            width, found = part.into.stop - part.into.start, part.operand.pieces() if part.is_dense else None
            row[:8] = (2, part.cols.start, part.cols.stop - part.cols.start, part.into.start, width, part.add, len(pieces), len(pieces))
            if not part.is_dense:
                row[0], row[8] = 0, self._placed(self.values, np.broadcast_to(part.operand, (steps, width)))
            elif found is not None:
                pieces += [self._piece(steps, *piece) for piece in found]
                row[0], row[7] = 1, len(pieces)
            self.inside.append(found is not None)
        self.pieces = np.array(pieces, np.int64).reshape(-1, 7)
        self.weights, self.values = np.concatenate(self.weights), np.concatenate(self.values)

    @staticmethod
    def _placed(arrays, array):
        """Where the entries of an array start behind those before it."""
        place = sum(a.size for a in arrays)
        arrays.append(np.ravel(array))
        return place

    def _piece(self, steps, rows, scales, stack, diagonal):
        """A row of `pieces`."""
        count = rows.stop - rows.start

        def values(array):
            return self._placed(self.values, np.broadcast_to(array, (steps, count)))

        weights = self._placed(self.weights, stack) if scales else 0
        places = [values(1.0 if s is None else s) for s in scales]
        return (rows.start, count, len(scales), weights, places[0] if scales else 0, steps * count,
                -1 if diagonal is None else values(diagonal))

    def advance(self, here, slots, times):
        """Fill `slots` (some lags, rows, joint state), one after the other and again, over the steps of a slice, latest first: norms,
        largest |entries|, norms of the last row, (3, lags); and the parts' operands, None where they are formed on the way."""
        operands = [None if inside else p.at(times) for p, inside in zip(self.parts, self.inside, strict=True)]
        given = [np.empty(0)]
        for row, operand in zip(self.table, operands, strict=True):
            if row[0] == 2:
                row[8] = self._placed(given, operand)
        found = np.empty((3, times.stop - times.start))
        self.loops["advance"](here, slots, times.stop - 1, self.table, self.pieces, self.values, self.weights, np.concatenate(given), found)
        return found, operands


@cache
def products(interpreted=False):
    """The Products. Raises EquationError when Numba is not installed."""
    return Products(interpreted)

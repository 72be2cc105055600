"""Loops over lags for small nets: products of step Jacobians and rows of errors, for any cell, from slopes that NumPy has made.

They do what `product.StateProduct`, `jacobian.Dense` and `rows.RowProduct` do without them. Their source is compiled once for all cells.
"""

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


def add_scaled(rows, cols, diagonal, place, out, into, width):
    """out[:, into:into + width] += rows[:, cols:cols + width] * diagonal, which lies at `place` in a flat array."""
    d = diagonal[place:place + width]
    for r in range(rows.shape[0]):
        v, o = rows[r, cols:cols + width], out[r, into:into + width]
        for i in range(width):
            o[i] += v[i] * d[i]


def advance(here, slots, table, operands, squares, probes, largest):
    """slots[j] = slots[j - 1] J, from `here` on; sums of squares and largest |entry| of all rows but the last, squares of the last.

    A row of `table` is a part of J: dense or not, first column read, how many, first column written, how many, place and stride in
    `operands`, where the last lag comes first. Parts that read all columns are left to BLAS, which Numba calls without Python.
    """
    count, size = slots.shape[0], slots.shape[2]
    sums, tops, room = np.empty(size), np.empty(size), np.empty(here.size)
    for j in range(count):
        out = slots[j]
        out[:] = 0.0
        rows = here if j == 0 else slots[j - 1]
        for p in range(table.shape[0]):
            place = table[p, 5] + (count - 1 - j) * table[p, 6]
            cols, depth, into, width = table[p, 1], table[p, 2], table[p, 3], table[p, 4]
            if table[p, 0] == 0:
                add_scaled(rows, cols, operands, place, out, into, width)
            elif depth < size:
                add_product(rows, cols, depth, operands, place, out, into, width)
            elif width == size and table.shape[0] == 1:
                np.dot(rows, operands[place:place + depth * width].reshape((depth, width)), out)
            else:
                product = room[:rows.shape[0] * width].reshape((rows.shape[0], width))
                np.dot(rows, operands[place:place + depth * width].reshape((depth, width)), product)
                for r in range(rows.shape[0]):
                    o, u = out[r, into:into + width], product[r]
                    for i in range(width):
                        o[i] += u[i]
        sums[:] = 0.0
        tops[:] = 0.0
        for r in range(out.shape[0] - 1):
            o = out[r]
            for i in range(size):
                v = abs(o[i])
                sums[i] += v * v
                tops[i] = v if v > tops[i] else tops[i]
        squares[j], largest[j] = sums.sum(), tops.max()
        probes[j] = (out[-1] * out[-1]).sum()


def form(scales, stack, out):
    """out[t, r] = sum_k scales[t, r, k] stack[r, k]."""
    for r in range(stack.shape[0]):
        for t in range(out.shape[0]):
            o = out[t, r]
            o[:] = 0.0
            for k in range(stack.shape[1]):
                s, u = scales[t, r, k], stack[r, k]
                for i in range(u.shape[0]):
                    o[i] += s * u[i]


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
        functions = [add_product, add_scaled, advance, form, back]
        loaded = load("products", driver_source(*functions), [f.__name__ for f in functions[2:]], interpreted)
        self._advance, self.form, self._back = (loaded[f.__name__] for f in functions[2:])

    def advance(self, here, slots, parts, operands):
        """Fill `slots` (lags, rows, joint state); (squares of the norms, squares of the last row, largest |entries|), arrays over lags."""
        table, flat, place = [], [], 0
        for part, operand in zip(parts, operands, strict=True):
            depth, width = part.cols.stop - part.cols.start, part.into.stop - part.into.start
            operand = np.ascontiguousarray(operand)
            table.append((part.is_dense, part.cols.start, depth, part.into.start, width, place, operand[0].size))
            flat.append(operand.reshape(-1))
            place += operand.size
        found = np.empty((3, len(slots)))
        operands = flat[0] if len(flat) == 1 else np.concatenate([*flat, np.empty(0)])
        self._advance(here, slots, np.array(table, np.int64).reshape(-1, 7), operands, *found)
        return found

    def back(self, rows, end, slopes, weights, direct, out):
        """Fill `out` (lags, k, joint state) with rows @ J(end) ...; weights [(columns, read, matrix)], direct [(columns, read)]."""
        flat, table, place = [np.empty(0)], [], 0
        for columns, read, matrix in weights:
            table.append((columns.start, read.start, read.stop - read.start, place))
            flat.append(np.ravel(matrix))
            place += matrix.size
        pairs = [(columns.start, read.start) for columns, read in direct]
        self._back(np.ascontiguousarray(rows), end, slopes, np.array(table, np.int64).reshape(-1, 4), np.concatenate(flat),
                   np.array(pairs, np.int64).reshape(-1, 2), out)


@cache
def products(interpreted=False):
    """The Products. Raises EquationError when Numba is not installed."""
    return Products(interpreted)

"""Loops over lags, to some hundred units: products of step Jacobians and rows of errors, for any cell, from slopes that NumPy has made.

They do what `product.StateProduct`, `jacobian.Dense` and `rows.RowProduct` do without them. Their source is compiled once for all cells.
"""

from functools import cache

import numpy as np

from .modules import driver_source, load
from .panels import LOOPS
from .tile import COLUMNS, ROWS, STRIP, in_strips, strip_source, tile_source

__all__ = ["Products", "products"]

strip = None  # printed before the loops


def add_product(rows, cols, depth, matrix, place, out, into, width):
    """out[:, into:into + width] += rows[:, cols:cols + depth] @ matrix, (depth, width), which lies `in_strips` at `place`."""
    strips = width // STRIP
    for j in range(strips):
        for r in range(rows.shape[0]):
            strip(rows, r * rows.shape[1] + cols, 0, matrix, place + j * depth * STRIP, depth, out, r * out.shape[1] + into + j * STRIP, 0,
                  True)
    if width > strips * STRIP:
        add_rest(rows, cols, depth, matrix, place + strips * depth * STRIP, out, into + strips * STRIP, width - strips * STRIP)


def add_rest(rows, cols, depth, matrix, place, out, into, width):
    """The same of the columns that are left, row by row at `place`."""
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


def back(rows, end, slopes, table, weights, direct, out):
    """out[q] = rows J(end) ... J(end - q), out being zero before. A row of `table`: first column written, first entry read of the errors
    at the roots, how many, place in `weights`; of `direct`: first column written, first entry read."""
    news, roots, n = slopes.shape[1], slopes.shape[2], slopes.shape[3]
    errors = np.empty((out.shape[1], roots * n))
    for q in range(out.shape[0]):
        before, after = rows if q == 0 else out[q - 1], out[q]
        for r in range(out.shape[1]):
            for j in range(roots):
                e = errors[r, j * n:(j + 1) * n]
                for i in range(news):
                    h, s = before[r, i * n:(i + 1) * n], slopes[end - q, i, j]
                    for m in range(n):
                        e[m] = (e[m] if i else 0.0) + h[m] * s[m]
        for p in range(table.shape[0]):
            add_product(errors, table[p, 1], table[p, 2], weights, table[p, 3], after, table[p, 0], n)
        for r in range(out.shape[1]):
            for p in range(direct.shape[0]):
                o, e = after[r, direct[p, 0]:direct[p, 0] + n], errors[r, direct[p, 1]:direct[p, 1] + n]
                for m in range(n):
                    o[m] += e[m]


class Products:
    """The compiled loops with the arguments that NumPy's ways have."""

    def __init__(self, interpreted):
        text = "\n\n\n".join([tile_source(interpreted), strip_source(interpreted), driver_source(*LOOPS, add_rest, add_product, back)])
        self.loops = load("products", text, ["advance", "back"], interpreted)

    def product(self, parts, columns, steps):
        """A `Product` of the parts of J (`joint.JointJacobian`) along a sequence, with errors at states {name: columns}."""
        return Product(self.loops, parts, columns, steps)

    def rows(self, weights, direct):
        """back(rows, end, slopes, out), which fills `out` (lags, k, joint state) with rows @ J(end) ...; weights [(columns, read, matrix)],
        direct [(columns, read)]."""
        flat, table, place = [np.empty(0)], [], 0
        for columns, read, matrix in weights:
            table.append((columns.start, read.start, read.stop - read.start, place))
            flat.append(in_strips(matrix))
            place += matrix.size
        table, flat = np.array(table, np.int64).reshape(-1, 4), np.concatenate(flat)
        pairs = np.array([(columns.start, read.start) for columns, read in direct], np.int64).reshape(-1, 2)
        return lambda rows, end, slopes, out: self.loops["back"](np.ascontiguousarray(rows), end, slopes, table, flat, pairs, out)


class Product:
    """Rows times J(t), lag after lag: constant weights, the values of all steps, and a table that says where everything lies.

    alone   whether loops form all matrices; else NumPy forms some, for all lags of a call at once
    """

    def __init__(self, loops, parts, columns, steps):
        self.loops, self.parts, self.weights, self.values = loops, parts, [np.empty(0)], [np.empty(0)]
        self.spans, size = [], 0
        for cols in columns.values():
            self.spans.append((cols.start, cols.stop - cols.start, size))
            size += _whole(cols.stop - cols.start, COLUMNS)
        self.table, self.pieces, self.size, self.given = [], [], 0, {}  # given: {number of a part: its row of the table}
        for number, part in enumerate(parts):
            self._add(number, part, steps)
        self.alone = not self.given
        self.spans, self.table = np.array(self.spans, np.int64), np.array(self.table, np.int64).reshape(-1, 11)
        self.pieces = np.array(self.pieces, np.int64).reshape(-1, 6)
        self.weights, self.values = np.concatenate(self.weights), np.concatenate(self.values)
        self.width, self.matrices, self.formed = size, np.zeros(ROWS * self.size), np.array([-ROWS])

    def make_room(self, rows):
        """Room for products of so many rows."""
        self.rooms = np.zeros((3, _whole(rows, ROWS), self.width))

    def _add(self, number, part, steps):
        """A row of the table, or two."""
        from_, = (s for s in self.spans if s[0] == part.cols.start)
        into, = (s for s in self.spans if s[0] == part.into.start)
        first, width = len(self.pieces), into[1]
        pieces = part.operand.pieces() if part.is_dense else None
        if not part.is_dense:
            values = np.broadcast_to(part.operand, (steps, width))
            self.table.append((0, from_[2], width, into[2], width, part.add, first, first, self._placed(self.values, values), 0, 0))
            return
        if part.row_scaled is not None:
            scale, matrix = part.row_scaled
            if scale is not None:
                diagonal = self._placed(self.values, np.broadcast_to(scale, (steps, from_[1])))
                self.table.append((4, from_[2], from_[1], from_[2], from_[1], False, first, first, diagonal, 0, 0))
            depth, padded = _whole(from_[1], COLUMNS), _whole(width, COLUMNS)
            whole = np.zeros((depth, padded))
            whole[:from_[1], :width] = matrix
            place = self._placed(self.weights, whole.reshape(depth, -1, COLUMNS).swapaxes(0, 1))
            self.table.append((3, from_[2], depth, into[2], padded, part.add, first, first, 0, place, width))
            return
        read = [s for s in self.spans if part.cols.start <= s[0] < part.cols.stop]
        depth, padded = sum(_whole(s[1], COLUMNS) for s in read), _whole(width, COLUMNS)
        if pieces is None:
            self.given[number] = len(self.table)
            self.pieces += [(s[2] - from_[2], s[1], s[0] - part.cols.start, 0, 0, 0) for s in read]
        else:
            self.pieces += [self._piece(steps, s[2] - from_[2], *piece) for s, piece in zip(read, pieces, strict=True)]
        self.table.append((2 if pieces is None else 1, from_[2], depth, into[2], padded, part.add, first, len(self.pieces), 0,
                           self.size, width))
        self.size += depth * padded

    @staticmethod
    def _placed(arrays, array):
        """Where the entries of an array start behind those before it."""
        place = sum(a.size for a in arrays)
        arrays.append(np.ravel(array))
        return place

    def _piece(self, steps, first, rows, scales, stack, diagonal):
        """A row of `pieces`."""
        count = rows.stop - rows.start
        places = [0, 0, -1]
        if scales:
            padded = np.zeros((len(scales), count, _whole(stack.shape[2], COLUMNS)))
            padded[:, :, :stack.shape[2]] = stack.swapaxes(0, 1)
            places[0] = self._placed(self.weights, padded.reshape(len(scales), count, -1, COLUMNS).transpose(2, 1, 0, 3))
            places[1] = self._placed(self.values, self._over_time([1.0 if s is None else s for s in scales], steps, count))
        if diagonal is not None:
            places[2] = self._placed(self.values, self._over_time([diagonal], steps, count))
        return first, count, len(scales), *places

    @staticmethod
    def _over_time(arrays, steps, count):
        """(steps, units, arrays), of ROWS steps or more."""
        values = np.zeros((max(steps, ROWS), count, len(arrays)))
        for k, array in enumerate(arrays):
            values[:steps, :, k] = array
        return values

    def advance(self, here, slots, times, left_out):
        """Fill `slots` (some lags, rows, joint state), one after the other, or the only one with the last, over the steps of a slice, the
        latest first: norms, those of the `left_out` rows before the last and of the last, largest |entries|, exponents; and the parts'
        operands, None where formed on the way."""
        operands = [p.at(times) if not p.is_dense or k in self.given else None for k, p in enumerate(self.parts)]
        given = [np.empty(0)]
        for number, row in self.given.items():
            self.table[row, 8] = self._placed(given, operands[number])
        found = np.empty((5, times.stop - times.start))
        self.loops["advance"](here, slots, self.spans, self.rooms, self.matrices, self.formed, times.stop - 1, self.table, self.pieces,
                              self.values, self.weights, np.concatenate(given), left_out, found)
        return found, operands


def _whole(count, size):
    """The next multiple of a size."""
    return -(-count // size) * size


@cache
def products(interpreted=False):
    """The Products. Raises EquationError when Numba is not installed."""
    return Products(interpreted)

"""Loops over lags: rows of errors times J(t), lag after lag, J(t) formed on the way in the panels that tiles read (`tile`).

Their source is printed and compiled by `products`, which knows where everything lies.
"""

import math

import numpy as np

from .tile import BLOCK, COLUMNS, DEPTH, ROWS

__all__ = ["LOOPS"]

tile = None  # printed before them


def form(start, pieces, values, weights, depth, width, matrices, at, apart):
    """J(t)'s dense part, (depth, width), in panels, of ROWS steps from `start` on, at `at` in `matrices` and `apart` from step to step: row
    r is the sum of weights' rows times values, plus a value on the diagonal. COLUMNS columns of a row, at all steps, are one tile: values
    times rows. A row of `pieces`: first row, rows, terms, place in `weights`, place in `values`, place of the diagonal there or -1."""
    for p in range(pieces.shape[0]):
        first, rows, terms, diagonal = pieces[p, 0], pieces[p, 1], pieces[p, 2], pieces[p, 5]
        scales, place = pieces[p, 4] + start * rows * terms, pieces[p, 3]
        for j in range(width // COLUMNS):
            for r in range(rows):
                into = at + (j * depth + first + r) * COLUMNS
                if terms:
                    tile(values, scales + r * terms, rows * terms, weights, place, terms, matrices, into, apart, False)
                    place += terms * COLUMNS
                else:
                    for s in range(ROWS):
                        matrices[into + s * apart:into + s * apart + COLUMNS] = 0.0
        if diagonal >= 0:
            for s in range(ROWS):
                for r in range(rows):
                    matrices[at + s * apart + (r // COLUMNS * depth + first + r) * COLUMNS + r % COLUMNS] += (
                        values[diagonal + (start + s) * rows + r])


def pack(pieces, given, place, columns, depth, width, matrices, into):
    """A matrix that lies at `place` of a flat array, row by row, in panels from `into` on. A row of `pieces`: first row, rows, first row
    there."""
    for p in range(pieces.shape[0]):
        for r in range(pieces[p, 1]):
            start = place + (pieces[p, 2] + r) * columns
            for j in range(width // COLUMNS):
                at, u = into + (j * depth + pieces[p, 0] + r) * COLUMNS, start + j * COLUMNS
                for i in range(min(COLUMNS, columns - j * COLUMNS)):
                    matrices[at + i] = given[u + i]


def add_diagonal(rows, cols, diagonal, out, into, add):
    """out[:, into:] (+)= rows[:, cols:] * diagonal."""
    width = diagonal.shape[0]
    for r in range(rows.shape[0]):
        v, o = rows[r, cols:cols + width], out[r, into:into + width]
        for i in range(width):
            o[i] = (o[i] if add else 0.0) + v[i] * diagonal[i]


def add_matrix(rows, cols, depth, matrices, at, width, out, into, add):
    """out[:, into:into + width] (+)= rows[:, cols:cols + depth] @ matrix, in panels at `at`. Rows are a multiple of ROWS."""
    for k in range(0, depth, DEPTH):
        few = min(DEPTH, depth - k)
        for block in range(0, rows.shape[0], BLOCK):
            for j in range(width // COLUMNS):
                for r in range(block, min(block + BLOCK, rows.shape[0]), ROWS):
                    tile(rows, r * rows.shape[1] + cols + k, rows.shape[1], matrices, at + (j * depth + k) * COLUMNS, few,
                         out, r * out.shape[1] + into + j * COLUMNS, out.shape[1], add or k > 0)


def measure(rows, sums, tops):
    """(Frobenius norm, largest |entry|): the sum of squares where that stays inside float64, else of scaled entries."""
    sums[:] = 0.0
    tops[:] = 0.0
    whole = rows.shape[0] - rows.shape[0] % 4
    for r in range(0, whole, 4):
        a, b, c, d = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        for i in range(sums.shape[0]):
            sums[i] = sums[i] + a[i] * a[i] + b[i] * b[i] + c[i] * c[i] + d[i] * d[i]
            v, w, x, y, top = abs(a[i]), abs(b[i]), abs(c[i]), abs(d[i]), tops[i]
            top = v if v > top else top
            top = w if w > top else top
            top = x if x > top else top
            tops[i] = y if y > top else top
    for r in range(whole, rows.shape[0]):
        a = rows[r]
        for i in range(sums.shape[0]):
            v = abs(a[i])
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


def move(rows, out, spans, start, to):
    """Copy the states' columns, which begin at spans[:, start], to spans[:, to]; the last row to the last, zeros between stay."""
    count = min(rows.shape[0], out.shape[0])
    for r in range(count):
        u, o = (rows[r], out[r]) if r < count - 1 else (rows[-1], out[-1])
        for s in range(spans.shape[0]):
            for i in range(spans[s, 1]):
                o[spans[s, to] + i] = u[spans[s, start] + i]


def scale(rows, shift):
    """rows *= 2^shift, in two halves, as the whole may be out of range."""
    half = shift // 2
    low, high = 2.0**half, 2.0 ** (shift - half)
    for r in range(rows.shape[0]):
        o = rows[r]
        for i in range(o.shape[0]):
            o[i] = o[i] * low * high


def advance(here, slots, spans, rooms, matrices, formed, last, table, pieces, values, weights, given, left_out, found):
    """P(j) = P(j - 1) J(last - j), from `here` on, in one of `slots` after the other, or the last one where there is one only. `found`:
    norms of all rows but the last, of the `left_out` rows before the last and of the last, largest |entry| of all but the last, and the
    exponent of two that belongs to them: where there is one slot only, the product is rescaled before it leaves 2^-64 ... 2^64 behind.

    The product is in one of three `rooms`, with zeros between: rows and each state's columns begin at whole tiles; the last row is last.
    A row of `spans`: first column in `here`, how many, first column in a room. A row of `table` is a part of J: kind, first column read,
    how many, first column written, how many, whether it adds, first and last of its `pieces`, place, place in `matrices`, columns given;
    in these are ROWS steps, `formed` the first of them, less than 0 where none is. Kinds: 0 a diagonal, (steps, how many) at `place` of
    `values`; 1 a matrix to be formed; 2 one that lies in `given`, those of all lags at `place`, the last lag first; 3 one that is the same
    at all steps, in panels in `weights`; 4 a diagonal that P(j - 1) itself is multiplied by, before a part of kind 3 reads it.
    """
    lags, count, rows, sums, tops = found.shape[1], here.shape[0], rooms[0], np.empty(rooms.shape[2]), np.empty(rooms.shape[2])
    move(here, rows, spans, 0, 2)
    exponent, apart = 0, matrices.shape[0] // ROWS
    for j in range(lags):
        if j > 0 and slots.shape[0] == 1 and 0.0 < found[3, j - 1] < np.inf and not 2.0**-64 <= found[3, j - 1] <= 2.0**64:
            shift = math.frexp(found[3, j - 1])[1]
            scale(rows, -shift)
            exponent += shift
        found[4, j] = exponent
        out = rooms[1 + j % 2]
        if not formed[0] <= last - j < formed[0] + ROWS:
            formed[0] = max(0, last - j - ROWS + 1)
            for p in range(table.shape[0]):
                kind, _, depth, _, width, _, begin, end, _, at, _ = table[p]
                if kind == 1:
                    form(formed[0], pieces[begin:end], values, weights, depth, width, matrices, at, apart)
        for p in range(table.shape[0]):
            kind, cols, depth, into, width, adds, begin, end, place, at, columns = table[p]
            if kind in (0, 4):
                start = place + (last - j) * width
                add_diagonal(rows, cols, values[start:start + width], rows if kind == 4 else out, into, adds == 1)
                continue
            if kind == 3:
                add_matrix(rows, cols, depth, weights, at, width, out, into, adds == 1)
                continue
            at += (last - j - formed[0]) * apart
            if kind == 2:
                rows_given = pieces[end - 1, 2] + pieces[end - 1, 1]
                pack(pieces[begin:end], given, place + (lags - 1 - j) * rows_given * columns, columns, depth, width, matrices, at)
            add_matrix(rows, cols, depth, matrices, at, width, out, into, adds == 1)
        found[0, j], found[3, j] = measure(out[:-1], sums, tops)
        found[1, j] = measure(out[count - 1 - left_out:count - 1], sums, tops)[0] if left_out else 0.0
        found[2, j] = measure(out[-1:], sums, tops)[0]
        if slots.shape[0] > 1 or j == lags - 1:
            move(out, slots[j % slots.shape[0]], spans, 2, 0)
        rows = out


LOOPS = [form, pack, add_diagonal, add_matrix, measure, move, scale, advance]

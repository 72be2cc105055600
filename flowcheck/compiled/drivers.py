"""Loops over time around the printed steps; their source is printed behind the steps of every cell and compiled with them.

`step`, `back`, `enter` and the others named here are the printed functions. rows[b, t + 1] is the row of vectors of sequence b at
step t, rows[b, 0] holds the initial states; x is (time, batch, inputs), or (time, batch) whole numbers for one-hot inputs.
"""

import math

import numpy as np

step = back = clear = enter = direct = coefficients = gather = weigh = bring = carry = None  # printed for each cell


def forward(rows, x, w, zero):
    """Fill rows[:, 1:]."""
    for b in range(rows.shape[0]):
        for t in range(rows.shape[1] - 1):
            step(rows[b, t + 1], rows[b, t], x[t, b], w, zero)


def backward(rows, x, errors, w, a, a_x, zero):
    """Backpropagation through time: a[b, t + 1] gets the adjoint of every vector at step t, a[b, 0] those of the initial states."""
    for b in range(rows.shape[0]):
        for t in range(rows.shape[1] - 2, -1, -1):
            enter(a[b, t + 1], errors[t, b], zero)
            back(rows[b, t + 1], rows[b, t], x[t, b], w, a[b, t + 1], a[b, t], a_x[t, b], zero)


def send_back(rows, x, end, w, places, a, a_x, exponent, zero):
    """Errors a[0] of step `end` sent back: a[q] 2^exponent[q] are the adjoints at step end - q, rescaled at the states at `places`."""
    lags = a.shape[0] - 1
    for q in range(lags):
        now, before = rows[end - q + 1], rows[end - q]
        for r in range(a.shape[1]):
            back(now, before, x[end - q], w, a[q, r], a[q + 1, r], a_x[q, r], zero)
        largest = 0.0
        for r in range(a.shape[1]):
            for k in places:
                largest = max(largest, abs(a[q + 1, r, k]))
        exponent[q + 1] = exponent[q]
        if largest > 0.0 and not 2.0**-64 <= largest <= 2.0**64:
            shift = math.frexp(largest)[1]
            half = shift // 2
            low, high = 2.0**-half, 2.0 ** (half - shift)
            for r in range(a.shape[1]):
                for k in places:
                    a[q + 1, r, k] = a[q + 1, r, k] * low * high
            exponent[q + 1] += shift


def truncated(rows, starts, x, errors, w, w_back, groups, panels, s, k, a, p, g, c, left, right, many_p, many_g, zero):
    """The truncated rule of 1997 over one sequence after the other, from the row starts[b], a few steps at a time.

    Nothing is kept over time but p and `many_p`; `s`, `k`, `a`, `c` hold the vectors of the few steps, and `rows` those of two steps, or of
    all where `carry` reads them. Inputs and errors of one sequence lie apart: they are fetched together, not waited for at every step.
    """
    chunk, held = s.shape[0], rows.shape[0]
    inputs, entering = np.empty((chunk,) + x.shape[2:], x.dtype), np.empty((chunk,) + errors.shape[2:])  # noqa: RUF005  (for Numba)
    for b in range(x.shape[1]):
        p[:] = 0.0
        many_p[:] = 0.0
        rows[0] = starts[b]
        for start in range(0, x.shape[0], chunk):
            steps = min(chunk, x.shape[0] - start)
            busy = False
            for t in range(steps):
                inputs[t] = x[start + t, b]
                entering[t] = errors[start + t, b]
                for o in range(0 if busy else errors.shape[2]):
                    busy = busy or entering[t, o] != 0.0
            for t in range(steps):
                now, before = rows[(t + 1) % held], rows[t % held]
                step(now, before, inputs[t], w, zero)
                gather(now, before, inputs[t], s[t], zero)
                coefficients(now, before, inputs[t], k[t], zero)
                if busy:
                    clear(a[t], zero)
                    enter(a[t], entering[t], zero)
                    direct(now, before, inputs[t], w_back, a[t], zero)
            weigh(steps, k, a, c, busy, zero)
            bring(steps, groups, panels, s, inputs, c, left, right, many_p, many_g, busy)
            carry(steps, rows, inputs, s, k, a, p, g, busy, zero)
            rows[0] = rows[steps % held]

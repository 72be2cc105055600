"""The running product with fewer and fewer rows: directions that have fallen behind are left out, and what they hold is estimated.

Errors that are sent back through many steps turn into the few directions that decay least: after some dozens of lags most singular values
are too small to count. With orthonormal columns Q, and A the part that is left out, whose columns are orthogonal to Q,

    P(q) = Q B + A,   |P(q) M|_F^2 = |B M|_F^2 + |A M|_F^2   for every matrix M,

so that B, which has fewer rows, goes on in the place of P, and what is left out counts by its square only. A few random combinations of the
rows of A go on with B: their norm estimates that of A at every later lag, without bias. Where A grows back, all rows are taken up again.
"""

import math

import numpy as np
from scipy.linalg import qr

from .scaled import frobenius

__all__ = ["COMBINATIONS", "GROWN", "TAIL", "measured", "pays", "split"]

TAIL = 3e-8
"""Norm of what is left out at a time, relative to the whole."""

GROWN = 30.0
"""How many times as much what was left out may become, relative to the whole. Norms are off by half its square then, 5e-13, or by 5e-11
where the combinations show a tenth of it, as happens to one run in ten million."""

COMBINATIONS = 8

_SMALLEST = 64
"""Entries of the joint state below which rows cost too little to be left out."""

_NOTHING = 1e-100
"""What was left out is forgotten where it is so small, relative to the whole: it would leave the range of float64."""

_LEAST, _ATTEMPT, _LAG = 10, 1.6e7, 1e5
"""What an attempt costs: some lags, and some operations; and what a lag costs beside its products, in operations."""

_WORTH = 4
"""How many times its own cost an attempt must be able to save, at best."""

_LATER, _SPACING = 1.6, 256
"""Lag of an attempt relative to that of the last, and lags between two at most."""


def pays(size, tail):
    """Whether rows of a joint state of so many entries may be left out."""
    return tail > 0 and size >= _SMALLEST


def measured(make, tail, measure):
    """Yield what `measure(chunk)` finds in the Chunks of the product that `make()` gives, of all its rows where `tail` is 0, else of those
    that count. It gives (anything, largest ratio of the norm of what was left out to the whole), see `Chunk.measure`.
    """
    product, done = make(), 0
    if not pays(product.size, tail):
        yield from (measure(chunk)[0] for chunk in product.chunks())
        return
    for chunk in _fewer_and_fewer(product, tail):
        found, ratio = measure(chunk)
        if ratio > GROWN * tail:
            break
        yield found
        done = chunk.first + len(chunk.norms) - 1
    if done == product.lags:
        return
    for chunk in make().chunks():
        if chunk.first + len(chunk.norms) > done + 1:
            yield measure(chunk.after(done))[0]


def _fewer_and_fewer(product, tail):
    """Its chunks; between them rows are left out where that may pay."""
    every_state = len(product.columns) > 1 and len(product.start) > product.size  # such rows soon repeat each other
    rng, attempt = np.random.default_rng(0), 8 if every_state else 24
    while True:
        rows = len(product.start)
        cost = _LEAST + int(_ATTEMPT / (_LAG + 2 * rows * product.size**2))  # of an attempt, in lags
        least = (COMBINATIONS + 1) / rows  # what a lag costs at best, of what it costs now
        yield from product.chunks(attempt if (product.lags - attempt) * (1 - least) > _WORTH * cost else product.lags)
        done, norm, left_out = product.done, product.norm, product.left_out
        kept, others, random = np.split(product.rows, [-1 - left_out, -1])
        if done == product.lags or len(kept) < 2 or not 0 < norm < math.inf:
            yield from product.chunks()
            return
        B, combinations, rest = split(kept, tail * norm, rng)
        if B is None:
            slow = math.log(tail) / math.log(rest / norm) if rest < norm else 4.0
            attempt = max(done + cost, int(done * min(max(slow, 1.25), 4.0)))
            continue
        if left_out and frobenius(others) > _NOTHING * norm:
            combinations += others
        product.go_on(np.vstack([B, combinations, random]), len(combinations))
        attempt = min(max(done + cost, int(_LATER * done)), done + _SPACING)


def split(rows, most, rng):
    """(B, combinations, |A|) of rows = Q B + A: as few rows of B as leave |A| <= `most`, and random combinations of the rows of A, whose
    squared norm is expected to be that of A. Where B would have almost all rows, it is None.

    Q comes from a random range finder: |A| is measured, and is some times what the best Q would leave.
    """
    count, n = rows.shape
    size = min(int(0.7 * count) + 4, count - 1)
    Q = qr(rows @ rng.normal(size=(n, size)), mode="economic", overwrite_a=True, check_finite=False)[0]
    B = Q.T @ rows
    A = rows - Q @ B
    squares = np.append(np.einsum("ij,ij->i", B, B), np.vdot(A, A))
    left = np.sqrt(np.cumsum(squares[::-1])[::-1])  # without the rows of B from each on
    if left[-1] > most:
        return None, None, float(left[-1])
    size = int(np.argmax(left <= most))
    weights = rng.normal(size=(COMBINATIONS, count)) / math.sqrt(COMBINATIONS)
    combinations = weights @ A + (weights @ Q[:, size:]) @ B[size:]
    return B[:size], combinations, float(left[size])

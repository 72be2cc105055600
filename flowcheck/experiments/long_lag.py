"""Experiment 2: very long time lags between symbols. 2a noise-free, 2b no local regularities, 2c very long lags.

2a, 2b: p+1 symbols a_1 ... a_{p-1}, x, y, numbered 0 ... p; sequences of p+1 symbols of which the first two kinds of start (x or y)
come back at the end. 2c: p+4 symbols a_1 ... a_p, e, b, x, y.
"""

import numpy as np

from .sequences import Sequences, join

__all__ = ["local_code", "random_middle", "very_long"]


def _predicted(codes, symbols, length):
    """Sequences of equal length whose target at every step is the next symbol."""
    count = len(codes)
    x, target = codes[:, :-1].ravel(), np.eye(symbols)[codes[:, 1:].ravel()]
    starts = np.arange(count + 1, dtype=np.int64) * (length - 1)
    return Sequences(starts, x, target, np.ones(len(x), bool))


def local_code(rng, count, p):
    """2a: (y, a_1, ..., a_{p-1}, y) and (x, a_1, ..., a_{p-1}, x), probability 1/2 each; predict the next symbol at every step."""
    first = rng.integers(p - 1, p + 1, count)
    middle = np.broadcast_to(np.arange(p - 1), (count, p - 1))
    return _predicted(np.column_stack([first, middle, first]), p + 1, p + 1)


def random_middle(rng, count, p, at_end=False):
    """2b: the middle is p-1 random symbols of a_1 ... a_{p-1}; success is judged at the last prediction only.

    `at_end`: there is no other target either.
    """
    first = rng.integers(p - 1, p + 1, count)
    middle = rng.integers(0, p - 1, (count, p - 1))
    found = _predicted(np.column_stack([first, middle, first]), p + 1, p + 1)
    return join(found.lengths, found.x, found.final) if at_end else found


def very_long(rng, count, q, p):
    """2c: b, x or y, q random distractors, then with probability 9/10 a further one each time, e; predict the symbol that stood second.

    Input length q + k + 3 with P(k) = (9/10)^k / 10, so q + 12 on average and q + 13 with the symbol to predict; the error is that
    of the prediction made when e is seen.
    """
    lengths = q + 2 + rng.geometric(0.1, count)  # b, x or y, q distractors, k = geometric - 1 more, e
    ends = np.cumsum(lengths)
    x = rng.integers(0, p, ends[-1])
    second = rng.integers(0, 2, count)
    firsts = ends - lengths
    x[firsts], x[firsts + 1], x[ends - 1] = p + 1, p + 2 + second, p
    return join(lengths, x, np.eye(2)[second])

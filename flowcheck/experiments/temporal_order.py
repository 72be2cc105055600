"""Experiment 6: temporal order. Symbols E, B, a, b, c, d, X, Y, numbered 0 to 7; which of X and Y came when?

A sequence starts with E, ends with B, and is random of a, b, c, d but for X or Y at marked places; its length is uniform in [100, 110].
6a: places in [10, 20] and [50, 60], four classes XX, XY, YX, YY; 6b: [10, 20], [33, 43], [66, 76], eight classes. Target at the end.
"""

import numpy as np

from .sequences import join

__all__ = ["WINDOWS", "temporal_order"]

WINDOWS = {"6a": ((10, 20), (50, 60)), "6b": ((10, 20), (33, 43), (66, 76))}


def temporal_order(rng, count, task):
    """Sequences; the class is the number whose binary digits are 1 for Y, first place first: Q, R, S, U, V, A, B, C."""
    lengths = rng.integers(100, 111, count)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    x, kind = rng.integers(2, 6, ends[-1]), np.zeros(count, np.int64)
    x[starts], x[ends - 1] = 0, 1
    for low, high in WINDOWS[task]:
        symbol = rng.integers(0, 2, count)
        x[starts + rng.integers(low, high + 1, count)] = 6 + symbol
        kind = 2 * kind + symbol
    return join(lengths, x, np.eye(2 ** len(WINDOWS[task]))[kind])

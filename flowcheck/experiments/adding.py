"""Experiments 4 and 5: the adding and the multiplication problem. Pairs of a random number and a marker.

The length is uniform in [T, T + T/10]. One of the first ten pairs is marked (X_1), then one of the first T/2 - 1 still unmarked ones (X_2);
a marked pair has marker 1, others 0, the first and the last pair -1. If the first pair is marked, X_1 is 0 (adding) or 1 (multiplication).

Left open by the paper and decided here: a marked first pair keeps marker -1; numbers are uniform.
"""

import numpy as np

from .sequences import join

__all__ = ["adding", "multiplication"]


def _marked(rng, count, T, low):
    """(lengths, x, value of X_1, value of X_2, whether the first pair is marked)."""
    lengths = rng.integers(T, T + T // 10 + 1, count)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    x = np.zeros((ends[-1], 2))
    x[:, 0] = rng.uniform(low, 1.0, ends[-1])
    one = rng.integers(0, 10, count)
    two = rng.integers(0, T // 2 - 1, count)
    two += two >= one  # the first T/2 - 1 pairs that are still unmarked
    x[starts + one, 1] = x[starts + two, 1] = 1.0
    x[starts, 1] = x[ends - 1, 1] = -1.0
    return lengths, x, x[starts + one, 0], x[starts + two, 0], one, two


def adding(rng, count, T):
    """Target at the end 0.5 + (X_1 + X_2) / 4, numbers in [-1, 1]."""
    lengths, x, one, two, first, second = _marked(rng, count, T, -1.0)
    one, two = np.where(first == 0, 0.0, one), np.where(second == 0, 0.0, two)
    return join(lengths, x, (0.5 + (one + two) / 4)[:, None])


def multiplication(rng, count, T):
    """Target at the end X_1 X_2, numbers in [0, 1]."""
    lengths, x, one, two, first, second = _marked(rng, count, T, 0.0)
    one, two = np.where(first == 0, 1.0, one), np.where(second == 0, 1.0, two)
    return join(lengths, x, (one * two)[:, None])

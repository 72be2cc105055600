"""Fixed 0/1 maps between a vector and a longer one that repeats it along further axes.

Turns the lengths of the axes into the two products, repeat and its transpose, total. Knows no weights and no cells.
"""

import numpy as np

__all__ = ["FixedMap"]


class FixedMap:
    """A fixed 0/1 matrix that is never formed; `axes` are the axes of the longer vector, `kept` says which of them the shorter one has.

        repeat    long_ij = short_i       (or short_j)
        total     short_i = sum_j long_ij (the transpose)

    `index[k]` is the entry of the shorter vector that stands in entry k of the longer one.
    """

    def __init__(self, axes, kept):
        self.axes = tuple(axes)
        self.short = tuple(n if keep else 1 for n, keep in zip(axes, kept, strict=True))
        self.lost = tuple(k - len(axes) for k, keep in enumerate(kept) if not keep)
        self.index = self.repeat(np.arange(np.prod(self.short)))

    def repeat(self, short):
        """(..., short) to (..., long)."""
        lead = np.shape(short)[:-1]
        apart, whole = short.reshape(*lead, *self.short), (*lead, *self.axes)
        return (apart.expand(whole) if hasattr(apart, "expand") else np.broadcast_to(apart, whole)).reshape(*lead, -1)  # torch has no numpy

    def total(self, long):
        """(..., long) to (..., short)."""
        lead = np.shape(long)[:-1]
        return long.reshape(*lead, *self.axes).sum(axis=self.lost).reshape(*lead, -1)

"""Memory of arrays: matrices that start on a cache line, and pages that are kept from one run to the next.

malloc's matrices do not: BLAS multiplies 256 x 256 by a vector in a tenth less time where not every other load fetches two lines.
"""

from functools import cache

import numpy as np

__all__ = ["keep_freed", "stacked"]

_LINE = 64
"""Bytes of a cache line."""


def stacked(matrices, order="C"):
    """The matrices on top of one another, as one matrix in memory of its own."""
    rows, dtype = sum(len(m) for m in matrices), np.result_type(*matrices)
    columns = matrices[0].shape[1]
    memory = np.empty(rows * columns * dtype.itemsize + _LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % _LINE
    return np.concatenate(matrices, out=np.ndarray((rows, columns), dtype, memory, start, order=order))


_KEPT = 2**25 - 2**13
"""Bytes of the largest block whose release raises glibc's thresholds (M_MMAP_THRESHOLD, and M_TRIM_THRESHOLD to twice as much)."""


@cache
def keep_freed():
    """Let glibc's allocator keep what is freed, up to 64 MiB, so that the next run finds its pages there; once, no other's.

    It learns from the blocks that a program frees how large a block it should keep; until it has, every run over some megabytes gives
    them back and fetches them again, a page at a time: 3 of 17 ms.
    """
    np.empty(_KEPT, np.uint8)

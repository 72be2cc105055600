"""What the machine can do at most, measured in the same run as the cases: matrix products of a size, memory bandwidth."""

import time

import numpy as np

__all__ = ["cpu_seconds", "dgemm_rate", "read_bandwidth"]


def cpu_seconds(function, repeats=3):
    """Least CPU seconds of this process over repeats: deaf to neighbours on the machine, though not to shared caches."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def dgemm_rate(n, repeats=5):
    """Floating-point operations per CPU second of n x n products through BLAS, on as many threads as BLAS is allowed."""
    rng = np.random.default_rng(0)
    a, b, out = rng.normal(size=(n, n)), rng.normal(size=(n, n)), np.empty((n, n))
    loops = max(1, int(2e8 / (2 * n**3)))
    return 2 * n**3 * loops / cpu_seconds(lambda: [np.matmul(a, b, out=out) for _ in range(loops)], repeats)


def read_bandwidth(megabytes=256):
    """Bytes per CPU second when an array that fits no cache is summed."""
    array = np.ones(megabytes * 2**20 // 8)
    return array.nbytes / cpu_seconds(array.sum)

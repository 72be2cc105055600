"""Calls whose worker process is killed; they import nothing, so that a process is soon there."""

import os


def once(mark, k):
    """Dies at the first call that finds no file `mark`."""
    if not os.path.exists(mark):
        open(mark, "w").close()
        os._exit(9)
    return 10 * k


def at_three(k):
    """Dies whenever it is called with 3; refuses 4."""
    if k == 3:
        os._exit(9)
    if k == 4:
        raise ValueError("no\nfour")
    return 10 * k


def blas_threads():
    """Threads that the BLAS libraries of NumPy and of SciPy use."""
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import threadpool_info

    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

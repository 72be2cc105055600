"""How many threads BLAS may use."""

from functools import cache

__all__ = ["blas_libraries", "one_blas_thread"]


@cache
def blas_libraries():
    """What sets the threads of the BLAS of NumPy and of SciPy, which bring one each: looked for once, which takes some 10 ms."""
    import numpy  # noqa: F401
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_blas_thread():
    """Context in which BLAS uses one thread; called outside of `with`, from now on. A second thread waits for the first at every product,
    and beside a busy core that costs far more than it gives."""
    return blas_libraries().limit(limits=1, user_api="blas")

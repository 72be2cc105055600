"""How many threads BLAS may use."""

__all__ = ["one_blas_thread"]


def one_blas_thread():
    """Context in which BLAS uses one thread; called outside of `with`, from now on. A second thread waits for the first at every product,
    and beside a busy core that costs far more than it gives."""
    import numpy  # noqa: F401  (a limit holds for the libraries that are loaded: NumPy and SciPy bring one each)
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")

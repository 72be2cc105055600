"""Arithmetic in which every result carries an error of its own, larger than that of rounding: what rounding may do becomes visible.

Monte Carlo arithmetic (Parker, 1997): each floating-point result z becomes z (1 + A eps xi), the xi independent; a real rounding is at most
eps z. |xi| is 1 plus the absolute value of a normal number, of either sign: its density is nowhere above 0.4 and no result stays as it is.
With A = 16 the grid of the numbers near z is fine beside A eps z. Functions need no change: the arguments are arrays of a class that NumPy
asks first.
"""

import contextlib
from unittest import mock

import numpy as np

__all__ = ["AMPLITUDE", "Perturbed", "perturbed", "perturbed_arithmetic"]

EXACT = {np.negative, np.positive, np.absolute, np.fabs, np.sign, np.maximum, np.minimum, np.fmax, np.fmin, np.floor, np.ceil, np.rint,
         np.trunc, np.copysign, np.conjugate}
"""They round nothing."""
PRODUCTS = {np.dot, np.inner, np.vdot, np.einsum}
"""Sums of products that do not pass through a ufunc: their factors are perturbed, so that a sum which cancels shows it."""
AMPLITUDE = 16
POOL = 1 << 16


class _Noise:
    """The factors 1 + A eps xi of one run; `count` arrays have been perturbed."""

    def __init__(self, rng, eps):
        xi = rng.standard_normal(POOL)
        xi += np.copysign(1.0, xi)
        self.factors, self.rng, self.at, self.count = 1 + AMPLITUDE * eps * xi, rng, 0, 0

    def moved(self, value, out=None):
        """The array with every number perturbed, in `out` if given; in a precision coarser than that under test nothing moves."""
        if type(value) is not np.ndarray:
            value = _plain(value) if isinstance(value, np.ndarray) else _array(value)
        if value.dtype.kind not in "fc":
            return value
        self.count += 1
        start, size = self.at, value.size
        if start + size > POOL:
            start = int(self.rng.integers(POOL))
            some = np.take(self.factors, np.arange(start, start + size), mode="wrap")
        else:
            some = self.factors[start:start + size]
        self.at = start + size
        if value.ndim != 1:
            some = some.reshape(value.shape)
        return np.multiply(value, some if value.itemsize >= 8 else some.astype(value.dtype), out)


NOISE = None
_array = np.asarray


class Perturbed(np.ndarray):
    """An array whose arithmetic is perturbed while `perturbed_arithmetic` runs; so is that of every array computed from it."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        given = [v.view(np.ndarray) if type(v) is Perturbed else v for v in inputs]
        if method == "__call__" and out is None and ufunc is not np.matmul:  # most of what there is to do
            found = ufunc(*given, **options)
            if type(found) is np.ndarray and found.dtype.kind in "fc":
                return (found if NOISE is None or ufunc in EXACT else NOISE.moved(found, found)).view(Perturbed)
            moved = _unmoved if NOISE is None or ufunc in EXACT else NOISE.moved
            return tuple(_wrapped(moved(v)) for v in found) if isinstance(found, tuple) else _wrapped(moved(found))
        if method == "at":
            return getattr(ufunc, method)(*given, **options)
        moved = _unmoved if NOISE is None or ufunc in EXACT else NOISE.moved
        sums = ufunc is np.matmul or method in ("reduce", "accumulate", "reduceat")
        if sums:
            given = [moved(v) if isinstance(v, np.ndarray) else v for v in given]
            moved = _unmoved
        if out is not None:
            options["out"] = tuple(_plain(v) for v in out)
        found = getattr(ufunc, method)(*given, **options)
        if out is None and not isinstance(found, tuple):
            return _wrapped(moved(found))
        results = [moved(v) for v in found] if isinstance(found, tuple) else [moved(found)]
        for k, array in enumerate(out or ()):
            if array is not None:
                array.view(np.ndarray)[...] = results[k]
                results[k] = array
        results = tuple(_wrapped(v) for v in results)
        return results if isinstance(found, tuple) else results[0]

    def __array_function__(self, function, types, args, options):
        if function in PRODUCTS and NOISE is not None:
            args = tuple(_wrapped(NOISE.moved(_plain(a))) if isinstance(a, Perturbed) else a for a in args)
        found = super().__array_function__(function, types, args, options)
        return _wrapped(found) if isinstance(found, np.ndarray) else found

    def dot(self, other, out=None):
        """As np.dot: the method of NumPy's arrays asks no class."""
        return np.dot(self, other, out)


def _unmoved(value):
    return value


def _plain(value):
    return value.view(np.ndarray) if isinstance(value, Perturbed) else value


def _wrapped(value):
    value = value if isinstance(value, np.ndarray) else _array(value)
    return value.view(Perturbed) if value.dtype.kind in "fc" else value


def perturbed(array):
    """The array as one of perturbed arithmetic, its numbers perturbed once; integers and flags, which nothing rounded, stay plain."""
    exact = array.dtype.kind not in "fc" or bool(np.all(array == np.rint(array)))
    return array.copy() if exact else NOISE.moved(array).view(Perturbed)


@contextlib.contextmanager
def perturbed_arithmetic(rng, eps):
    """While it runs, `Perturbed` arrays compute with errors of `eps`; yields the noise, whose `count` says how often that was.

    np.array and np.asarray, which otherwise give an array of NumPy's own class, keep theirs.
    """
    global NOISE
    before, NOISE = NOISE, _Noise(rng, eps)
    try:
        with mock.patch.object(np, "array", _keeping(np.array)), mock.patch.object(np, "asarray", _keeping(np.asarray)):
            yield NOISE
    finally:
        NOISE = before


def _keeping(function):
    def kept(value, *rest, **options):
        found = function(value, *rest, **options)
        return found.view(Perturbed) if type(value) is Perturbed and found.dtype.kind in "fc" else found

    return kept

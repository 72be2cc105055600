"""Derivatives that know nothing of cells: complex step and high-precision differences.

Each takes a plain function of arrays. The complex step is exact to rounding at any size of the derivative, as long as
the function is analytic and its code accepts complex numbers; `is_complex_safe` tests that instead of assuming it.
The mpmath oracle raises its precision until two precisions agree, and returns the error with the value.
Imports NumPy and mpmath only.
"""

import numpy as np

__all__ = ["NotTrusted", "complex_step", "high_precision", "is_complex_safe"]

STEP = 2.0**-300
"""Step of the complex step, ~5e-91: its square is far below every rounding error, and derivatives down to 1e-217 stay normal numbers."""


class NotTrusted(ArithmeticError):
    """An oracle cannot vouch for its number; `estimate` carries it all the same."""

    def __init__(self, message, estimate=None):
        super().__init__(message)
        self.estimate = estimate


def complex_step(f, x, direction, step=STEP):
    """Directional derivative of f at x: Im f(x + i h v) / h, error O(h^2), no cancellation.

    x and direction are arrays of one shape, or dicts of such arrays; f returns an array or a dict of arrays.
    Where f is not analytic at x or drops the imaginary part the result is wrong: see `is_complex_safe`.
    """
    moved = _map(lambda a, v: np.asarray(a) + 1j * step * np.asarray(v), x, direction)
    return _map(lambda y: np.imag(y) / step, f(moved))


def is_complex_safe(f, x, direction, step=2.0**-18):
    """None if the complex step may be used for f at x, else the reason in words.

    Tested: f accepts complex input; Re f(x + i 0) = f(x), up to what a few ulps in x do to f; and the complex step agrees with central
    differences along the direction wherever three of them (h, h/2, h/4) agree with each other to a thousandth.
    """
    real = f(x)
    moved = [f(_map(lambda a, s=s: a + s * 8 * np.spacing(a), x)) for s in (1, -1)]
    try:
        lifted = f(_map(lambda a: np.asarray(a, complex), x))
        slope = complex_step(f, x, direction)
    except (TypeError, ValueError, NotImplementedError) as error:
        return f"it does not accept complex input ({type(error).__name__}: {error})"
    differences = []
    for h in (step, step / 2, step / 4):
        plus, minus = (f(_map(lambda a, v, s=s: np.asarray(a) + s * np.asarray(v), x, direction)) for s in (h, -h))
        differences.append(_map(lambda a, b, h=h: (np.asarray(a, float) - np.asarray(b, float)) / (2 * h), plus, minus))
    for name, y in _items(real):
        y, got, analytic = (np.asarray(dict(_items(z))[name]) for z in (real, lifted, slope))
        up, down = (np.asarray(dict(_items(z))[name]) for z in moved)
        noise = 64 * max(np.abs(up - y).max(initial=0.0), np.abs(down - y).max(initial=0.0))
        rounding = 64 * np.finfo(float).eps * np.abs(y).max(initial=0.0)
        if not np.all(np.abs(got.real - y) <= rounding + noise):
            return f"its real part changes when the input is complex (output {name})"
        wide, middle, narrow = (np.asarray(dict(_items(z))[name]) for z in differences)
        spread = np.maximum(np.abs(wide - middle), np.abs(middle - narrow))
        trusted = spread <= 1e-3 * np.abs(narrow) + rounding / step
        allowed = 4 * rounding / step + 4 * spread + 1e-6 * np.abs(narrow)
        dropped = (analytic == 0) & (np.minimum(np.abs(wide), np.abs(narrow)) > 4 * rounding / step)
        if np.any(dropped) or not np.all((np.abs(analytic - narrow) <= allowed)[trusted]):
            return f"its imaginary part is not its derivative (output {name}: abs, max, real part or conjugate inside?)"
    return None


def high_precision(f, x, direction, digits=20, max_dps=800):
    """(derivative, error) of f at x along a direction by central differences in mpmath arithmetic.

    f takes and returns object arrays of mpmath numbers. The precision doubles until two results agree to `digits` digits
    relative to the largest entry; error is their difference. Raises NotTrusted at `max_dps` digits.
    """
    import mpmath

    previous, dps = None, 2 * digits
    while dps <= max_dps:
        with mpmath.workdps(dps):
            h = mpmath.mpf(10) ** (-dps // 3)
            to_mp = np.frompyfunc(mpmath.mpf, 1, 1)
            x_mp, v = to_mp(np.asarray(x, object)), to_mp(np.asarray(direction, object))
            value = (np.asarray(f(x_mp + h * v), object) - np.asarray(f(x_mp - h * v), object)) / (2 * h)
            if previous is not None:
                error = max((abs(a - b) for a, b in zip(value.ravel(), previous.ravel(), strict=True)), default=mpmath.mpf(0))
                if error <= max(abs(a) for a in value.ravel()) * mpmath.mpf(10) ** -digits:
                    return value, error
            previous, dps = value, 2 * dps
    raise NotTrusted(f"differences at {dps // 2} and {dps // 4} digits disagree beyond {digits} digits", previous)


def _items(y):
    return y.items() if isinstance(y, dict) else [("output", y)]


def _map(function, first, *others):
    if isinstance(first, dict):
        return {k: function(v, *(o[k] for o in others)) for k, v in first.items()}
    return function(first, *others)

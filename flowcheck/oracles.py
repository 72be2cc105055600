"""Derivatives that know nothing of cells: complex step, high-precision differences, and balls that enclose the derivative.

Each takes a plain function of arrays. The complex step is exact to rounding at any size of the derivative, as long as
the function is analytic and its code accepts complex numbers; `is_complex_safe` tests that instead of assuming it.
The mpmath oracle raises its precision until two precisions agree, and returns the error with the value.
The ball oracle (python-flint) differentiates power series of balls, so its enclosure is rigorous.
Imports NumPy and mpmath only, and python-flint where it is asked for.
"""

import numpy as np

__all__ = ["NotTrusted", "ball_slope", "complex_step", "high_precision", "is_complex_safe"]

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
    except Exception as error:  # f has just taken the same numbers as real ones: whatever it raises here refuses complex ones
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


def ball_slope(f, digits=30, first_bits=128, max_bits=4096):
    """(balls, bits): d f(eps) / d eps at eps = 0, entry by entry, each a ball (python-flint's arb) that holds the true derivative.

    f takes one number, a power series eps of balls, and returns a list of numbers computed from it by +, -, *, / and exp. The
    precision doubles until every radius is below 10^-digits of the largest entry. Raises NotTrusted at `max_bits`, ImportError without
    python-flint.
    """
    import flint

    bits, before = first_bits, (flint.ctx.prec, flint.ctx.cap)
    try:
        while bits <= max_bits:
            flint.ctx.prec, flint.ctx.cap = bits, 2
            found = [y.coeffs() if isinstance(y, flint.arb_series) else [y] for y in f(flint.arb_series([0, 1]))]
            balls = [c[1] if len(c) > 1 else flint.arb(0) for c in found]
            size = max((b.abs_upper() for b in balls), default=flint.arb(0))
            if all(b.rad() <= size * flint.arb(10) ** -digits for b in balls):
                return balls, bits
            bits *= 2
    finally:
        flint.ctx.prec, flint.ctx.cap = before
    raise NotTrusted(f"{max_bits} bits do not enclose the derivative to {digits} digits")


def _items(y):
    return y.items() if isinstance(y, dict) else [("output", y)]


def _map(function, first, *others):
    if isinstance(first, dict):
        return {k: function(v, *(o[k] for o in others)) for k, v in first.items()}
    return function(first, *others)

"""One entry at one step, or whole, beside its reference along some directions: passed, failed, doubtful, or unseen.

The tolerance at lag q is (q + 1) sqrt(eps) and, where that is exceeded, what rounding does to the tested gradient, as measured; see
`rounding`. The first part covers slopes taken from rounded values, such as 1 - y^2, without a measurement: where 1 - |y| is above
sqrt(eps), rounding of y costs the slope at most sqrt(eps) a step, and of q + 1 slopes the relative errors add; where it is below, the
slope is itself below 2 sqrt(eps) and stops the flow. A net in which nothing else flows is what the measurement is for.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Piece", "fits_single", "judge", "measure_piece"]

SMALLEST = 1e-200
"""Below this a gradient is not compared: the complex step (2^-300) and products of a few more factors reach the end of float64."""
LARGEST = 1e290
"""Beyond this a backward pass may overflow on its way to a gradient that does not."""
SATURATED, MOST_LOSS = 1e-6, 0.5
"""Where the arithmetic inside cannot be perturbed: an output y within 1e-6 of +-1 leaves at most ten digits in 1 - y^2, whose relative
rounding is eps / (1 - |y|) at each step. An error up to a half that this explains is no failure but inconclusive."""
TRUST, FAR = 3.0, 100.0
"""The error estimate of extrapolated differences is a heuristic: it is believed to a factor of three. Measured on 8,857 derivatives of the
right nets of benchmarks/detection, single and double precision, spectral radius 0.3 to 5: the error is half of the time below 0.03 of
the estimate, once in a thousand above 0.25, at most 0.39. Doubled, 50 % of the lags of 96 nets in single precision are seen instead of
59 %, on the arguments given. Where the estimate is wide, only what is off by a hundred of it is wrong."""
WIDE = 0.1
"""Where rounding, or the reference's own error, exceeds a tenth of the gradient, a lag counts as unseen. A convention: doubled, 65 % of
those lags count as seen instead of 59 %; no verdict changes."""


@dataclass(frozen=True)
class Piece:
    """One entry at one step, or whole: `got` and `expected` along some directions, the reference's own `width`, over `steps` slopes.

    lag None: of a seed that enters everywhere, judged by its own size; `step` says where.
    """

    lag: int | None
    step: int | None
    steps: int
    got: list
    expected: list
    width: float

    @property
    def size(self):
        """Root mean square, safe from underflow."""
        largest = max(map(abs, self.expected))
        return largest and largest * float(np.sqrt(np.mean(np.square(np.divide(self.expected, largest)))))

    @property
    def difference(self):
        return float(np.max(np.abs(np.subtract(self.got, self.expected))))


def judge(one, piece, rounding, neighbours=None):
    """Compare one piece; whether it passes without rounding(enough) -> (bound, inside), which is called where it is needed."""
    info = _precision(one)
    tiny = max(float(info.tiny / info.eps), SMALLEST)
    lag, width, size = piece.lag, piece.width, piece.size
    if not np.isfinite(piece.got).all():
        if max(map(abs, piece.expected)) < LARGEST:
            _fail(one, piece, np.inf, 0.0)
        else:
            one.unseen.append(lag)
        return False
    difference = piece.difference
    if width > 0:  # a reference with an error estimate of its own
        if TRUST * width > WIDE * size:
            if not difference <= FAR * width + tiny:
                _fail(one, piece, difference / max(size, width), FAR * width / max(size, width))
            else:
                one.unseen.append(lag)
            return False
    elif size <= tiny:
        if not difference <= tiny:
            _fail(one, piece, np.inf, 0.0)
        else:
            one.below.append(lag)
        return False
    error, tolerance = difference / size, _tolerance(one, piece)
    if error <= tolerance:
        one.error = max(one.error, error)
        if tolerance > WIDE:
            one.unseen.append(lag)
            return False
        one.tolerances[lag] = max(tolerance, one.tolerances.get(lag, 0.0))
        return True
    bound, inside = rounding(max(tolerance * size, difference - tolerance * size))
    tolerance += bound / size
    one.tolerances[lag] = max(tolerance, one.tolerances.get(lag, 0.0))
    if not error <= tolerance and not inside:
        loss = piece.steps * info.eps / one.gap if one.gap < SATURATED else 0.0
        if error <= min(loss, MOST_LOSS):
            one.doubtful.append(lag)
            one.error = max(one.error, error)
            return False
        if neighbours is not None and not fits_single(one.grad):
            tolerance = max(tolerance, neighbours((piece.got[0] - piece.expected[0]) / size))
            one.tolerances[lag] = max(tolerance, one.tolerances[lag])
    if not error <= tolerance:
        _fail(one, piece, error, tolerance)
    elif tolerance > WIDE:
        one.doubtful.append(lag)
    one.error = max(one.error, error)
    return False


def measure_piece(one, piece, rounding):
    """Widen the tolerance of a piece that passed by the rounding that is measured there; unseen where that leaves too much open."""
    tolerance = _tolerance(one, piece)
    tolerance += rounding(tolerance * piece.size)[0] / piece.size
    if tolerance <= WIDE and piece.lag not in one.unseen:
        one.tolerances[piece.lag] = max(tolerance, one.tolerances[piece.lag])
    elif one.tolerances.pop(piece.lag, None):
        one.unseen.append(piece.lag)


def _tolerance(one, piece):
    """Without a measurement of rounding, relative."""
    return piece.steps * float(np.sqrt(_precision(one).eps)) + TRUST * piece.width / piece.size


def _precision(one):
    return np.finfo(one.grad.dtype if np.issubdtype(one.grad.dtype, np.floating) else float)


def _fail(one, piece, error, tolerance):
    key = abs(piece.lag) if piece.lag is not None else -1
    if one.bad is None or (one.bad[0] is not None and key < abs(one.bad[0])):
        one.bad = (piece.lag, float(error), float(tolerance), piece.got, piece.expected, piece.step)


def fits_single(grad):
    """Whether double-precision numbers are all single-precision ones: something inside rounds to float32."""
    return grad.dtype == np.float64 and grad.size > 3 and bool(np.any(grad)) and np.array_equal(grad, grad.astype(np.float32))
